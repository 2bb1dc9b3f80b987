// Copies what a button holds; the only thing that this page does. Without a clipboard (an old browser, no permission)
// the text is selected in a box instead, to be copied by hand.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = button.dataset.copy, name = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = name; }, 1500);
  } catch {
    const box = document.createElement("textarea");
    box.value = text; box.rows = 8; box.readOnly = true; box.setAttribute("aria-label", name);
    button.parentElement.after(box);
    box.focus(); box.select();
    button.disabled = true;
  }
});
