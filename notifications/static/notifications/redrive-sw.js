// The service worker of Redrive's pushes: shows them, says that they arrived or were opened, renews the subscription.
//
// A push is JSON: {title, body, url, data, ack_url, tag}. `ack_url` is a signed address: whoever can read it got the push, so
// its word needs no log-in. What the page remembered for us (redrive-push.js) is in the database `redrive-push`.

const RETRIES = [1, 5, 30];
const seconds = (number) => new Promise((done) => setTimeout(done, number * 1000));

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => event.waitUntil(shown(read(event.data))));

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(Promise.all([acknowledged(event.notification.data?.ack, "opened"), opened(event.notification.data?.url)]));
});

self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renewed(event)));

// Browsers demand that every push shows something, so one that cannot be read shows that there is news.
function read(data) {
  try {
    const push = data.json();
    return { ...push, title: String(push.title || "News") };
  } catch {
    return { title: "News", url: "/" };
  }
}

async function shown(push) {
  await self.registration.showNotification(push.title, {
    body: push.body || "",
    tag: push.tag || undefined, // the same push again replaces itself
    data: { url: push.url, ack: push.ack_url, more: push.data },
  });
  await Promise.all([acknowledged(push.ack_url, "delivered"), told({ redrive: "push", push })]);
}

// "Delivered" is said after it was shown. It is tried three times; the worker may be stopped after that.
async function acknowledged(address, event) {
  if (!address) return;
  for (const wait of [0, 1, 5]) {
    await seconds(wait);
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ event }),
      credentials: "omit",
      keepalive: true,
    }).catch(() => null);
    if (answer && answer.status < 500) return;
  }
}

async function opened(url) {
  const target = new URL(url || "/", self.location.origin);
  if (!["http:", "https:"].includes(target.protocol)) return;
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const same = windows.find((each) => each.url === target.href);
  if (same) await same.focus();
  else await self.clients.openWindow(target.href);
}

// The browser replaced the subscription, perhaps long after the session ended: the token of the registration counts.
async function renewed(event) {
  const memory = await remembered();
  let subscription = event.newSubscription || (await self.registration.pushManager.getSubscription());
  if (!subscription && event.oldSubscription) {
    subscription = await self.registration.pushManager.subscribe(event.oldSubscription.options);
  }
  await told({ redrive: "changed" });
  if (!subscription || !memory?.refreshToken) return;
  const { endpoint, expirationTime, keys } = subscription.toJSON();
  const body = JSON.stringify({
    token: memory.refreshToken,
    address: endpoint,
    p256dh: keys.p256dh,
    auth: keys.auth,
    expiration_time: expirationTime ? new Date(expirationTime).toISOString() : null,
  });
  for (const wait of [0, ...RETRIES]) {
    await seconds(wait);
    const answer = await fetch(memory.refresh, { method: "POST", headers: { "Content-Type": "application/json" }, body, credentials: "omit" }).catch(() => null);
    if (answer && answer.status < 500 && answer.status !== 429) return;
  }
}

async function told(message) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  windows.forEach((each) => each.postMessage(message));
}

function remembered() {
  return new Promise((done) => {
    const asked = indexedDB.open("redrive-push", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("memory");
    asked.onerror = () => done(null);
    asked.onsuccess = () => {
      const got = asked.result.transaction("memory").objectStore("memory").get("registration");
      got.onsuccess = () => { asked.result.close(); done(got.result || null); };
      got.onerror = () => { asked.result.close(); done(null); };
    };
  });
}
