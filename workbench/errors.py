"""The one tree of errors, each a sentence for the person on the page.

    WorkbenchError
    ├── RequestError            what was asked for cannot be done as asked (exit 2)
    │   ├── InvalidRequest
    │   │   ├── OutOfRange
    │   │   ├── NoModel
    │   │   ├── TooManyModels
    │   │   ├── TooManyPrompts
    │   │   └── NoDataset
    │   ├── InvalidName
    │   ├── UnknownResult
    │   ├── ContextTooLong
    │   ├── NoPrefixToken
    │   ├── NoOffsets
    │   ├── DoesNotFit
    │   │   ├── FitsInPrecision
    │   │   ├── FitsShorter
    │   │   └── FitsNowhere
    │   ├── ModelBusy
    │   ├── NotAllowed
    │   ├── BadSettings
    │   ├── AccessRefused
    │   │   ├── NotForGuests
    │   │   ├── NotForVisitors
    │   │   ├── QuotaUsedUp
    │   │   └── LockedOut
    │   ├── TextError
    │   │   ├── EmptyText
    │   │   │   ├── NoText
    │   │   │   └── EmptyFile
    │   │   ├── TextTooLarge
    │   │   ├── TooLongForMap
    │   │   ├── TooLongToCut
    │   │   ├── TextNotFound
    │   │   ├── NotText
    │   │   ├── BrokenFile
    │   │   ├── UnknownColumn
    │   │   └── DatasetUnavailable
    │   ├── DataError
    │   │   ├── NoDatasetChosen
    │   │   ├── NoFile
    │   │   ├── NoSuchDataset
    │   │   ├── DatasetExists
    │   │   ├── FileTooLarge
    │   │   ├── BadArchive
    │   │   ├── NoRows
    │   │   ├── UnknownFormat
    │   │   ├── BadMapping
    │   │   ├── BadRow
    │   │   ├── NoSuchRow
    │   │   ├── BadExpression
    │   │   ├── QueryTooSlow
    │   │   ├── BadStep
    │   │   ├── NothingToUndo
    │   │   ├── NothingLeft
    │   │   ├── BadShares
    │   │   ├── CannotExport
    │   │   ├── InputMissing
    │   │   ├── InputChanged
    │   │   ├── DatasetNotSaved
    │   │   ├── UnknownSplit
    │   │   ├── NoAnswers
    │   │   ├── TooFewRows
    │   │   ├── NothingLearned
    │   │   ├── BadTuneRecipe
    │   │   ├── BadRecipeField
    │   │   └── BadRecipe
    │   ├── ProbeError
    │   │   ├── NoProbe
    │   │   ├── NoSuchProbe
    │   │   ├── BadProbeFile
    │   │   ├── BadProbeRows
    │   │   └── NoProbeItems
    │   ├── TuneError
    │   │   ├── RunExists
    │   │   ├── NoSuchRun
    │   │   ├── NoAdapter
    │   │   ├── RunBusy
    │   │   ├── RunFinished
    │   │   └── RunChanged
    │   ├── PromptError
    │   │   ├── NoSuchPrompt
    │   │   ├── BadPrompt
    │   │   ├── UnknownSlot
    │   │   ├── UnfilledSlot
    │   │   ├── NoSeeds
    │   │   ├── BadPromptRecipe
    │   │   ├── BadPrices
    │   │   ├── NoSuchPromptRun
    │   │   ├── PromptRunExists
    │   │   ├── PromptRunBusy
    │   │   ├── PromptRunFinished
    │   │   ├── NothingKept
    │   │   ├── NoKey
    │   │   ├── WrongKey
    │   │   ├── BadTeacher
    │   │   └── RequestRefused
    │   ├── ChatError
    │   │   ├── NothingSaid
    │   │   ├── MessageTooLong
    │   │   ├── TooManyVoices
    │   │   ├── NoSuchConversation
    │   │   ├── NoSuchTurn
    │   │   ├── NothingToTakeBack
    │   │   └── BadVote
    │   ├── CharacterError
    │   │   ├── NoCharacterName
    │   │   ├── LongField
    │   │   ├── ManyEntries
    │   │   ├── BadRole
    │   │   ├── NoCard
    │   │   ├── NotACard
    │   │   ├── BrokenCard
    │   │   ├── CardTooLarge
    │   │   ├── NoSuchCharacter
    │   │   ├── CharacterExists
    │   │   ├── NoScript
    │   │   └── NotATalk
    │   └── ModelError
    │       ├── BadReference
    │       ├── UnknownBundled
    │       ├── ModelNotFound
    │       ├── GatedModel
    │       ├── NeedsRemoteCode
    │       ├── PickleWeights
    │       ├── IncompleteModel
    │       ├── NotCausal
    │       ├── UnknownArchitecture
    │       ├── BadAdapter
    │       ├── BadTemplate
    │       └── PrecisionUnavailable
    └── WorkFailed              the request was fine, the work did not finish (exit 1)
        ├── NoNetwork
        │   ├── HubUnreachable
        │   └── IndexUnreachable
        ├── DownloadFailed
        ├── BrokenWeights
        ├── LoadFailed
        ├── OutOfMemory
        ├── NumericalFault
        │   ├── HalfPrecisionOverflow
        │   ├── NotANumber
        │   ├── AnswerNotANumber
        │   └── LossNotANumber
        ├── TrainingFailed
        ├── TeacherFailed
        │   ├── DayLimit
        │   ├── TeacherDown
        │   └── GenerationFailed
        ├── DiskFull
        ├── GpuNotLent
        ├── GpuTimeUp
        └── Stopped

An error is built from named facts, ``ModelNotFound(model="a/b")``, so that the
screen can say the same sentence in another language: the words are looked up by
the class name and filled with the same facts. This module knows no language but
English and nothing of where an error is shown.
"""

from __future__ import annotations

import string
from typing import Any


class WorkbenchError(Exception):
    """Anything that can be told to a person in one sentence.

    Args:
        facts: the values that the class's ``template`` names, no more and no less.
    """

    template = "Something went wrong."
    exit_code = 1

    def __init__(self, **facts: Any) -> None:
        missing = self.fields() - facts.keys()
        if missing:
            raise TypeError(f"{type(self).__name__} needs {sorted(missing)}")
        self.facts = facts
        super().__init__(self.template.format(**facts))

    @classmethod
    def fields(cls) -> set[str]:
        """The names of the facts that the sentence needs."""
        return {name for _, name, _, _ in string.Formatter().parse(cls.template) if name}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self).__name__, self.facts)


def leaves(root: type[WorkbenchError] = WorkbenchError) -> list[type[WorkbenchError]]:
    """Every class of the tree that has no class below it."""
    below = root.__subclasses__()
    return [root] if not below else [leaf for child in below for leaf in leaves(child)]


def _rebuild(name: str, facts: dict[str, Any]) -> WorkbenchError:
    return next(leaf for leaf in leaves() if leaf.__name__ == name)(**facts)


class RequestError(WorkbenchError):
    exit_code = 2


class WorkFailed(WorkbenchError):
    exit_code = 1


class InvalidRequest(RequestError):
    pass


class OutOfRange(InvalidRequest):
    template = "{field} is {value}, but it must be between {low} and {high}."


class NoModel(InvalidRequest):
    template = "No model is chosen. Choose at least one."


class TooManyModels(InvalidRequest):
    template = "{count} models are chosen; at most {most} can be compared here."


class TooManyPrompts(InvalidRequest):
    template = "There are {count} prompts; at most {most} are answered at a time."


class NoDataset(InvalidRequest):
    template = "No dataset is named. Write its id on the Hub, OWNER/NAME."


class InvalidName(RequestError):
    template = (
        "“{name}” cannot be a name: use 1 to 80 letters, digits, dots, dashes or underscores, "
        "not starting with a dot."
    )


class UnknownResult(RequestError):
    template = "There is no stored result number {number}. It may have been deleted."


class ContextTooLong(RequestError):
    template = (
        "A context of {context} tokens is longer than {model} allows ({limit}). "
        "Choose {limit} or fewer."
    )


class NoPrefixToken(RequestError):
    template = (
        "{model} has neither a beginning-of-text nor an end-of-text token, so its first "
        "token cannot be scored fairly. Choose another model."
    )


class NoOffsets(RequestError):
    template = (
        "The tokenizer of {model} does not tell where its tokens lie in the text, "
        "so no heat map can be drawn for it."
    )


class DoesNotFit(RequestError):
    pass


class FitsInPrecision(DoesNotFit):
    template = (
        "{model} in {precision} needs about {needed}, and {available} can be used here. "
        "In {instead} it needs {less}: choose {instead}."
    )


class FitsShorter(DoesNotFit):
    template = (
        "{model} in {precision} needs about {needed}, and {available} can be used here. "
        "In nf4 with a context of {context} tokens it needs {less}."
    )


class FitsNowhere(DoesNotFit):
    template = (
        "{model} in {precision} needs about {needed}, and {available} can be used here. "
        "Choose a model of at most about {billions} billion parameters, in nf4."
    )


class ModelBusy(RequestError):
    template = "{model} is at work right now. Wait for it or press Stop, then unload it."


class NotAllowed(RequestError):
    template = "{model} is not among the models that can be used here."


class BadSettings(RequestError):
    template = "The settings cannot be used: {reason}."


class AccessRefused(RequestError):
    pass


class NotForGuests(AccessRefused):
    template = "Only the owner of this workbench can do that. You are here as a guest."


class NotForVisitors(AccessRefused):
    template = "Only the signed-in owner of this Space can do that."


class QuotaUsedUp(AccessRefused):
    template = (
        "That is all that guests can use for now. There is more in about {minutes} minutes; "
        "what you have made is kept."
    )


class LockedOut(AccessRefused):
    template = "Too many wrong tokens. Try again in {seconds} seconds."


class TextError(RequestError):
    pass


class EmptyText(TextError):
    pass


class NoText(EmptyText):
    template = "There is no text yet. Type or paste at least one character."


class EmptyFile(EmptyText):
    template = "{name} holds no text. Choose another with at least one character."


class TextTooLarge(TextError):
    template = "{name} is {size}; at most {limit} are read at a time. Choose a part of it."


class TooLongForMap(TextError):
    template = "The text has {characters} characters; a heat map shows at most {limit}."


class TooLongToCut(TextError):
    template = "The text has {characters} characters; at most {limit} are cut into tokens here."


class TextNotFound(TextError):
    template = "There is no file called {name}."


class NotText(TextError):
    template = (
        "{name} does not look like text in any encoding (UTF-8, UTF-16, Big5, GB18030 and "
        "others were tried). Save it as UTF-8 and try again."
    )


class BrokenFile(TextError):
    template = "{name} could not be read as {format}: {reason}."


class UnknownColumn(TextError):
    template = "{name} has no text column called “{column}”. It has: {columns}."


class DatasetUnavailable(TextError):
    template = "The dataset {name} could not be read from the Hub: {reason}."


class DataError(RequestError):
    pass


class NoDatasetChosen(DataError):
    template = "No dataset is on the desk yet. Bring one in, or choose one above."


class NoFile(DataError):
    template = "No file is there yet. Drop one into the box."


class NoSuchDataset(DataError):
    template = "There is no dataset called {name} in the workspace."


class DatasetExists(DataError):
    template = "There is already a dataset called {name}. Choose another name."


class FileTooLarge(DataError):
    template = "{name} is {size} when unpacked; at most {limit} are read. Bring a part of it."


class BadArchive(DataError):
    template = "{name} cannot be unpacked: {reason}."


class NoRows(DataError):
    template = "{name} holds no rows. Choose a file with at least one."


class UnknownFormat(DataError):
    template = (
        "The rows of {name} fit no format that is known here (their fields: {fields}). "
        "Choose the format and its fields by hand."
    )


class BadMapping(DataError):
    template = "{name} cannot be read as {format}: {reason}."


class BadRow(DataError):
    template = "{name}, line {line}: {reason}. Mend it, or choose to leave bad rows out."


class NoSuchRow(DataError):
    template = "There is no row number {row}; the dataset has {count}."


class BadExpression(DataError):
    template = "The filter cannot be used: {reason}."


class QueryTooSlow(DataError):
    template = "The filter took longer than {seconds} seconds and was stopped. Make it simpler."


class BadStep(DataError):
    template = "This step cannot be done: {reason}."


class NothingToUndo(DataError):
    template = "There is no step to undo yet."


class NothingLeft(DataError):
    template = "No row is kept, so there is nothing to go on with. Switch a step off."


class BadShares(DataError):
    template = "The shares cannot be used: {reason}."


class CannotExport(DataError):
    template = "Row {row} cannot be written as {format}: {reason}. Choose another format."


class InputMissing(DataError):
    template = "{name} is needed (sha256 {sha256}), and no file given here is it."


class InputChanged(DataError):
    template = "{name} has changed since: the recipe was made with sha256 {sha256}."


class BadRecipe(DataError):
    template = "{name} is not a recipe of a dataset: {reason}."


class DatasetNotSaved(DataError):
    template = (
        "{name} has rows left out, or changes, that are not saved yet. Save what is kept first, "
        "under a new name, and tune on that."
    )


class UnknownSplit(DataError):
    template = "{name} has no part called “{split}” in its split. It has: {splits}."


class NoAnswers(DataError):
    template = (
        "{name} has no answer to learn from: no assistant turn and no plain text. Choose another "
        "dataset."
    )


class TooFewRows(DataError):
    template = (
        "{name} has {count} rows, too few to hold {holdout} out and still learn. Bring more "
        "rows, or hold fewer out."
    )


class NothingLearned(DataError):
    template = (
        "In {name} no token would be learned from within {length} tokens a row. Choose a greater "
        "length or another template."
    )


class BadTuneRecipe(DataError):
    template = "This is not a tuning recipe that can be used: {reason}."


class BadRecipeField(DataError):
    template = "{field} cannot be “{value}”: it must be {allowed}."


class ProbeError(RequestError):
    pass


class NoProbe(ProbeError):
    template = "No set of questions is chosen. Choose at least one."


class NoSuchProbe(ProbeError):
    template = "There is no set of questions called {name}. There are: {names}; or name a file."


class BadProbeFile(ProbeError):
    template = "{name} cannot be read as questions: {reason}."


class BadProbeRows(ProbeError):
    template = (
        "{name} has {count} rows that cannot be asked: {rows}. Mend them, or choose to leave bad "
        "rows out."
    )


class NoProbeItems(ProbeError):
    template = "{name} has no question that can be asked. Look at: {rows}."


class TuneError(RequestError):
    pass


class RunExists(TuneError):
    template = "There is already a run called {name}. Choose another name."


class NoSuchRun(TuneError):
    template = "There is no run called {name}. It may have been deleted."


class NoAdapter(TuneError):
    template = "The run {name} has no adapter yet. Let it finish, or stop it."


class RunBusy(TuneError):
    template = "The run {name} is at work right now. Wait for it or press Stop."


class RunFinished(TuneError):
    template = "The run {name} has done all its steps. Start a new one to go on learning."


class RunChanged(TuneError):
    template = "{name} cannot go on: {what} is not what it was begun with. Start a new run."


class PromptError(RequestError):
    pass


class NoSuchPrompt(PromptError):
    template = "There is no prompt called {name}."


class BadPrompt(PromptError):
    template = "The prompt {name} cannot be used: {reason}."


class UnknownSlot(PromptError):
    template = "The prompt {name} has a slot “{slot}” that is not among those it describes."


class UnfilledSlot(PromptError):
    template = (
        "Nothing fills the slot “{slot}” of {name}. Give it a value, or take seeds that have "
        "a field of that name."
    )


class NoSeeds(PromptError):
    template = "{name} holds no seed that can be used: {reason}."


class BadPromptRecipe(PromptError):
    template = "This recipe cannot be used: {reason}."


class BadPrices(PromptError):
    template = "The table of prices cannot be read: {reason}."


class NoSuchPromptRun(PromptError):
    template = "There is no generation run called {name}. It may have been deleted."


class PromptRunExists(PromptError):
    template = "There is already a generation run called {name}. Choose another name."


class PromptRunBusy(PromptError):
    template = "The generation run {name} is at work right now. Wait for it or press Stop."


class PromptRunFinished(PromptError):
    template = "The generation run {name} has reached its target. Start a new one for more rows."


class NothingKept(PromptError):
    template = "The generation run {name} has kept no row yet, so there is nothing to save."


class NoKey(PromptError):
    template = "{teacher} needs a key. Type one, or start the app with it in {variable}."


class WrongKey(PromptError):
    template = "{teacher} does not accept this key. Nothing was asked again; check it and retry."


class BadTeacher(PromptError):
    template = "The teacher cannot be used: {reason}."


class RequestRefused(PromptError):
    template = "{teacher} refuses the request itself ({code}): {reason}."


class ChatError(RequestError):
    pass


class NothingSaid(ChatError):
    template = "There is nothing to answer yet. Write a message first."


class MessageTooLong(ChatError):
    template = (
        "With what must stay before it, this message has {tokens} tokens; {model} can read "
        "{limit} here. Shorten it, or raise the context."
    )


class TooManyVoices(ChatError):
    template = "{count} models are chosen; at most {most} answer at a time."


class NoSuchConversation(ChatError):
    template = "There is no conversation called {name}. It may have been deleted."


class NoSuchTurn(ChatError):
    template = "This conversation has no turn number {number}."


class NothingToTakeBack(ChatError):
    template = "Nothing has been said yet that could be taken back or asked again."


class BadVote(ChatError):
    template = "This vote cannot be counted: {reason}."


class CharacterError(RequestError):
    pass


class NoCharacterName(CharacterError):
    template = "A character needs a name. Write one of at most {limit} characters."


class LongField(CharacterError):
    template = "{field} has {length} characters; a character may have at most {limit} there."


class ManyEntries(CharacterError):
    template = "The lorebook has {count} entries; at most {limit} are read."


class BadRole(CharacterError):
    template = "“{role}” is not a role: a message is from system, user or assistant."


class NoCard(CharacterError):
    template = (
        "{name} is a picture without a character in it. Choose the file as it was downloaded: "
        "a screenshot or a smaller copy loses the card."
    )


class NotACard(CharacterError):
    template = "{name} is not a character card: it must be PNG, JSON, YAML or CHARX with a name."


class BrokenCard(CharacterError):
    template = "The card in {name} cannot be read: {reason}. Download it again."


class CardTooLarge(CharacterError):
    template = "{name} is too large: a card may have at most {limit}."


class NoSuchCharacter(CharacterError):
    template = "There is no character called {name}. It may have been deleted."


class CharacterExists(CharacterError):
    template = "There is already a character called {name}. Choose another name."


class NoScript(CharacterError):
    template = "{name} is not a script that can be followed: {reason}."


class NotATalk(CharacterError):
    template = "{name} is not a conversation that can be scored: {reason}."


class ModelError(RequestError):
    pass


class BadReference(ModelError):
    template = (
        "“{reference}” does not name a model. Write bundled:NAME, OWNER/NAME, "
        "OWNER/NAME@REVISION, file:FOLDER or file:MODEL.gguf, each with +ADAPTER if you like."
    )


class UnknownBundled(ModelError):
    template = "No bundled model is called “{name}”. There are: {names}."


class ModelNotFound(ModelError):
    template = "No model was found at {model}. Check the spelling and the revision."


class GatedModel(ModelError):
    template = (
        "{model} is private or gated. Accept its terms on its Hub page, then start the app "
        "with your access token in HF_TOKEN."
    )


class NeedsRemoteCode(ModelError):
    template = (
        "{model} needs program code from its repository, which is not run here. Only the owner "
        "can allow it, at start, with --trust-remote-code."
    )


class PickleWeights(ModelError):
    template = (
        "{model} has its weights only as pickle files, which can hide programs. "
        "Choose a model with safetensors or GGUF weights."
    )


class IncompleteModel(ModelError):
    template = "{model} is not a whole model: {missing} is missing."


class NotCausal(ModelError):
    template = (
        "{model} is a {architecture} model, not a causal language model: "
        "it cannot continue a text. Choose a text-generation model."
    )


class UnknownArchitecture(ModelError):
    template = "The architecture “{architecture}” of {model} is not known to this version."


class BadAdapter(ModelError):
    template = "The adapter {adapter} cannot be used with {model}: {reason}."


class BadTemplate(ModelError):
    template = "The chat template cannot be used: {reason}. Choose another one or another model."


class PrecisionUnavailable(ModelError):
    template = "{precision} does not work for {model} on this machine: {reason}. Choose {instead}."


class NoNetwork(WorkFailed):
    pass


class HubUnreachable(NoNetwork):
    template = "The Hugging Face Hub cannot be reached, and {model} is not on this machine yet."


class IndexUnreachable(NoNetwork):
    template = "The package index cannot be reached, and {model} is not on this machine yet."


class DownloadFailed(WorkFailed):
    template = (
        "{model} could not be downloaded: {reason}. Files that are whole are kept; try again."
    )


class BrokenWeights(WorkFailed):
    template = "The weights of {model} are damaged or cut short ({reason}). Fetch them again."


class LoadFailed(WorkFailed):
    template = "{model} could not be loaded: {reason}."


class OutOfMemory(WorkFailed):
    template = (
        "The memory ran out while {model} was at work. What was finished is kept. "
        "Choose a smaller context, a smaller precision or a smaller model."
    )


class NumericalFault(WorkFailed):
    pass


class HalfPrecisionOverflow(NumericalFault):
    template = (
        "{model} overflowed at token {token} in window {window} of document {document}: "
        "float16 is too small for it. Choose bf16 or fp32."
    )


class NotANumber(NumericalFault):
    template = (
        "{model} gave no number for token {token} in window {window} of document {document}: "
        "its weights yield NaN or infinity in {precision}. Try fp32, or fetch the model again."
    )


class AnswerNotANumber(NumericalFault):
    template = (
        "{model} gave no number for question {item}: its weights yield NaN or infinity in "
        "{precision}. Try fp32, or fetch the model again."
    )


class LossNotANumber(NumericalFault):
    template = (
        "The loss became NaN or infinite at step {step} (rows {rows} of the dataset), so the run "
        "stopped there. Choose a lower learning rate, or look at those rows."
    )


class TrainingFailed(WorkFailed):
    template = "The training ended in a fault: {reason}. The checkpoints are kept."


class TeacherFailed(WorkFailed):
    pass


class DayLimit(TeacherFailed):
    template = (
        "The day's quota of {teacher} is used up. Everything is kept; resume the run tomorrow, "
        "or with another model."
    )


class TeacherDown(TeacherFailed):
    template = (
        "{teacher} could not be reached or kept failing for {seconds} seconds ({reason}). "
        "Everything is kept; resume the run later."
    )


class GenerationFailed(TeacherFailed):
    template = "The generation ended in a fault: {reason}. Every reply is kept."


class DiskFull(WorkFailed):
    template = "The disk is full: {needed} are needed, {free} are free at {place}."


class GpuNotLent(WorkFailed):
    template = "No GPU was lent: {reason}."


class GpuTimeUp(WorkFailed):
    template = (
        "The GPU was lent for {seconds} seconds, and that was too short. What was finished is "
        "kept; try a smaller model, a shorter text or fewer tokens."
    )


class Stopped(WorkFailed):
    template = "Stopped. What was finished is kept."
