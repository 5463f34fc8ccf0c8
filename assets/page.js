/* Runs before Gradio: which language the page speaks, and tips for coloured text. */
(() => {
  const pick = (tag) => /^(yue|zh-(hk|mo|tw|hant))/i.test(tag) ? "zh-TW"
    : /^zh/i.test(tag) ? "zh-CN" : /^en/i.test(tag) ? "en" : null;
  let chosen = null;
  try { chosen = localStorage.getItem("trilogy-language"); } catch (_) { /* no storage in some frames */ }
  const asked = new URLSearchParams(location.search).get("lang");
  const tags = [asked, chosen, ...navigator.languages, navigator.language];
  const language = tags.filter(Boolean).map(pick).find(Boolean) || "en";
  window.trilogyLanguage = language;
  window.trilogySpeak = (wanted) => {
    try { localStorage.setItem("trilogy-language", wanted); } catch (_) { /* the address carries it */ }
    const here = new URL(location.href);
    here.searchParams.set("lang", wanted);
    location.replace(here);
  };
  // Gradio knows zh-TW and zh-CN, but would show English to zh-HK, zh-Hant or zh.
  Object.defineProperty(navigator, "language", { get: () => language });
  Object.defineProperty(navigator, "languages", { get: () => [language] });

  let tip = null;
  const hide = () => { if (tip) { tip.remove(); tip = null; } };
  const show = (event) => {
    const target = event.target.closest && event.target.closest("[data-tip]");
    hide();
    if (!target) return;
    tip = document.createElement("div");
    tip.className = "tri-tip";
    tip.setAttribute("role", "tooltip");
    tip.textContent = target.dataset.tip;
    (document.querySelector(".gradio-container") || document.body).append(tip);
    const place = target.getClientRects()[0];
    const left = Math.min(Math.max(8, place.left), innerWidth - tip.offsetWidth - 8);
    const below = place.bottom + 6 + tip.offsetHeight < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? place.bottom + 6 : Math.max(8, place.top - tip.offsetHeight - 6)}px`;
  };
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, show);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
