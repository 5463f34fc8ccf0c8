"""The same items through lm-evaluation-harness: the same log-likelihoods, the same picks."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from tests import tiny
from workbench.compare.probes.ask import Asker, ProbeRequest
from workbench.compare.probes.items import Choice, ProbeSet
from workbench.compare.probes.prompts import before_option
from workbench.compare.probes.reading import open_probe
from workbench.compare.probes.results import ItemResult
from workbench.models.loader import LoadedModel

harness = pytest.importorskip("lm_eval")


def ours(loaded: LoadedModel, probe: ProbeSet) -> list[ItemResult]:
    request = ProbeRequest((loaded.reference,), (probe,), writes=False)
    results: list[ItemResult] = tiny.finish(
        Asker(loaded, request).answer(probe.items, tiny.never())
    )[1]
    return results


def theirs(loaded: LoadedModel, probe: ProbeSet) -> tuple[float, dict[int, list[float]]]:
    """``acc``, and the log-likelihoods of each item's options, by lm_eval.simple_evaluate."""
    import datasets
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    rows = []
    for item in probe.items:
        assert isinstance(item, Choice)
        context, gap = before_option(item)
        options = [gap + option for option in item.options]
        rows.append({"context": context, "options": options, "gold": item.answer})

    def made(**_options: Any) -> dict[str, Any]:
        return {"test": datasets.Dataset.from_list(rows)}

    task = ConfigurableTask(
        config={
            "task": "probes",
            "custom_dataset": made,
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": lambda row: row["context"],
            "doc_to_choice": lambda row: row["options"],
            "doc_to_target": lambda row: row["gold"],
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}],
        }
    )
    model = HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=8,
        softmax_dtype="float32",
        max_length=loaded.context_limit,
    )
    found = harness.simple_evaluate(model, tasks=[task], bootstrap_iters=0, log_samples=True)
    scores = {
        sample["doc_id"]: [float(answer[0]) for answer in sample["filtered_resps"]]
        for sample in found["samples"]["probes"]
    }
    return found["results"]["probes"]["acc,none"], scores


def compare(loaded: LoadedModel, probe: ProbeSet) -> None:
    results = ours(loaded, probe)
    accuracy, scores = theirs(loaded, probe)
    for at, one in enumerate(results):
        assert one.likelihoods
        assert one.likelihoods.raw == pytest.approx(scores[at], abs=1e-3)
        assert one.likelihoods.pick() == int(numpy.argmax(scores[at]))
    assert sum(one.score for one in results) / len(results) == accuracy


def test_acc_is_that_of_the_harness(any_tiny: LoadedModel) -> None:
    """Wide random weights in fp32, all sixty questions."""
    shipped = open_probe("hong-kong", 10**7)
    english = Choice(
        id="en", language="en", question="Which jumps?", options=("fox", "foxes", "a"), answer=1
    )
    short = tuple(item for item in shipped.items if len(item.asked) < 40)[:20]
    compare(any_tiny, ProbeSet("both", "choice", (*short, english)))


@pytest.mark.real
def test_acc_is_that_of_the_harness_on_a_real_model(real_settings: Any) -> None:
    loaded = tiny.load("bundled:gemma-3-270m", "fp32", real_settings)
    compare(loaded, open_probe("hong-kong", 10**7).first(20))
