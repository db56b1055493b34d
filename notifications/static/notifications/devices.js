// This browser on the page of devices: on, off, and what happened. The rest of the page works without.

const card = document.getElementById("this-browser");
const say = document.getElementById("this-said");
const acts = card.querySelector(".acts");
const on = document.getElementById("this-on");
const off = document.getElementById("this-off");

const WORDS = {
  unsupported: "This browser has no push notifications. On an iPhone or iPad, add this page to the home screen first.",
  denied: "Notifications are blocked for this site. Allow them in the site's settings, beside the address, and load this page again.",
  off: "Notifications are off in this browser.",
  on: "Notifications are on in this browser.",
};

if (card.dataset.serverKey) start();

// The list of devices as the server has it now; a log-in page or an error leaves the old one.
async function listed() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("devices");
  if (fresh) document.getElementById("devices").replaceWith(document.adoptNode(fresh));
}

async function start() {
  const { RedrivePush } = await import(card.dataset.module);
  const { account, devices, worker, serverKey } = card.dataset;
  const push = new RedrivePush({ account, devices, worker, serverKey });
  on.addEventListener("click", () => act("Asking …", () => push.subscribe(), "A test notification is on its way. This browser is on once it has arrived."));
  off.addEventListener("click", () => act("One moment …", () => push.unsubscribe(), "Notifications are off in this browser."));
  push.addEventListener("change", (event) => {
    if (["permission", "subscription"].includes(event.detail.why)) show();
    // Its answer needs a moment to be written down.
    if (event.detail.why === "push") setTimeout(() => listed().then(() => show()), 1500);
  });

  async function show(words) {
    const state = await push.state();
    say.textContent = words || WORDS[state];
    card.dataset.state = state;
    acts.hidden = !["on", "off"].includes(state);
    on.hidden = state === "on";
    off.hidden = state !== "on";
  }

  async function act(meanwhile, doing, after) {
    on.disabled = off.disabled = true;
    say.textContent = meanwhile;
    try {
      await doing();
      await listed();
      await show(after);
    } catch (error) {
      await show(error.message);
    }
    on.disabled = off.disabled = false;
    say.focus({ preventScroll: true });
  }

  const before = await push.state();
  await push.keep({ atOnce: true }).catch(() => null);
  if ((await push.state()) !== before) await listed();
  await show();
}
