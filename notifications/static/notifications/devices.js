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

async function start() {
  const { RedrivePush } = await import(card.dataset.module);
  const { account, devices, worker, serverKey } = card.dataset;
  const push = new RedrivePush({ account, devices, worker, serverKey });
  on.addEventListener("click", () => act("Asking …", () => push.subscribe(), "A test notification is on its way. This browser is on once it has arrived."));
  off.addEventListener("click", () => act("One moment …", () => push.unsubscribe(), "Notifications are off in this browser."));
  push.addEventListener("change", (event) => {
    if (["permission", "subscription"].includes(event.detail.why)) show();
    if (event.detail.why === "push") setTimeout(() => location.reload(), 1500);
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
      await show(after);
    } catch (error) {
      await show(error.message);
    }
    on.disabled = off.disabled = false;
    say.focus({ preventScroll: true });
  }

  await push.keep().catch(() => null);
  await show();
}
