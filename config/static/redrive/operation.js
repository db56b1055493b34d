// The page of a running operation: its figures are asked for again every two seconds, not while the tab is hidden.
// Without it the page is right as of the time it says.

const EVERY = 2000;

const ask = async () => {
  const live = document.querySelector('[data-live="on"]');
  if (!live) return;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.ok && !answer.redirected) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
        if (!fresh || fresh.dataset.live === "over") {
          location.reload(); // its end has other buttons
          return;
        }
        live.replaceWith(document.adoptNode(fresh));
      }
    } catch {
      // The figures stay, with the time they are of.
    }
  }
  setTimeout(ask, EVERY);
};

setTimeout(ask, EVERY);
