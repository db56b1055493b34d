// Redrive's client for Web Push: no dependencies, one module. docs/push.md explains it.
//
//   const push = new RedrivePush({ account });    // and devices, refresh, worker, scope, app, name, serverKey, headers, retries
//   await push.state();                           // "unsupported" | "denied" | "off" | "on"
//   await push.subscribe();                       // in a click: asks for permission, subscribes, registers
//   await push.keep();                            // on every page: repairs what changed since, without asking anything
//   await push.unsubscribe();                     // "opted_out", or "logged_out" before a log-out
//   push.addEventListener("change", …);           // permission, subscription or device changed; `detail.why`
//
// `subscribe` throws a PushProblem with a `code` that can be shown: unsupported, denied, dismissed, no_key,
// not_subscribed, refused (the server's 4xx), unreachable (after all retries).

const KEEP_EVERY = 24 * 3600_000;
const ASK_EVERY = 5 * 60_000;
const GONE = { status: "invalid", status_reason: "" };
const seconds = (number) => new Promise((done) => setTimeout(done, number * 1000));

export class PushProblem extends Error {
  constructor(code, words, problem = null) {
    super(words);
    this.code = code;
    this.problem = problem; // the server's application/problem+json, if it said one
  }
}

export class RedrivePush extends EventTarget {
  constructor(options = {}) {
    super();
    this.devices = options.devices || "/api/v1/devices/";
    this.refresh = options.refresh || "/push/refresh/";
    this.worker = options.worker || "/redrive-sw.js";
    this.scope = options.scope || "/";
    this.app = options.app || "default";
    this.account = String(options.account || ""); // who is logged in: what somebody else switched on here is not theirs
    this.name = options.name || described();
    this.serverKey = options.serverKey || "";
    this.headers = options.headers || {}; // { Authorization: "Bearer rdr_…" } where there is no session
    this.retries = options.retries || [1, 5, 30]; // until the server has told its own schedule
    this.#watch();
  }

  get supported() {
    return "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  }

  async state() {
    if (!this.supported) return "unsupported";
    if (Notification.permission === "denied") return "denied";
    return (await this.#subscription()) && (await this.#memory()) ? "on" : "off";
  }

  // Asks the person: call it in a click, or browsers refuse to ask.
  async subscribe() {
    if (!this.supported) throw new PushProblem("unsupported", "This browser has no push notifications.");
    const permission = await Notification.requestPermission();
    if (permission === "denied") throw new PushProblem("denied", "Notifications are blocked for this site: its settings beside the address can allow them.");
    if (permission !== "granted") throw new PushProblem("dismissed", "The question was closed without an answer.");
    return this.#register(await this.#subscribed(await this.#key()));
  }

  // Without asking the person: registers again if the subscription or its key changed, if the server has lost the device,
  // or once a day, so that the server knows that we are still here; forgets it if it was removed elsewhere. The server is
  // asked every five minutes, or with `atOnce`. Returns what it remembers or the device, or null if there is nothing to keep.
  async keep({ atOnce = false } = {}) {
    const memory = this.supported ? await this.#memory() : null;
    if (!memory) return null; // never switched on here, or switched off, or by somebody else
    if (Notification.permission !== "granted") {
      if (Notification.permission === "denied") await this.#left(memory, "opted_out");
      return null;
    }
    const asked = atOnce || Date.now() - memory.asked > ASK_EVERY;
    const device = asked ? await this.device().catch((problem) => (problem.problem?.status === 404 ? GONE : null)) : null;
    if (device) await remember("registration", { ...memory, asked: Date.now() });
    if (device?.status === "unregistered" && device.status_reason !== "logged_out") {
      await remember("registration", null);
      this.#changed("removed");
      return null;
    }
    if (device?.status === "invalid" && device.status_reason !== "replaced") await (await this.#subscription())?.unsubscribe();
    if (["invalid", "unregistered"].includes(device?.status)) return this.#register(await this.#subscribed(await this.#key()));
    const subscription = (await this.#subscription()) || (await this.#subscribed(await this.#key()));
    const same = memory.endpoint === subscription.endpoint && Date.now() - memory.at < KEEP_EVERY;
    if (same && sameKey(subscription, await this.#key())) return memory;
    return this.#register(await this.#subscribed(await this.#key()));
  }

  async unsubscribe(reason = "opted_out") {
    const memory = await this.#memory();
    const subscription = this.supported ? await this.#subscription() : null;
    if (memory) await this.#left(memory, reason);
    if (subscription && reason === "opted_out") await subscription.unsubscribe();
    this.#changed("unsubscribed");
  }

  // What the server says of this device now, with its timeline.
  async device() {
    const memory = await this.#memory();
    return memory ? this.#ask(`${this.devices}${memory.id}/`, "GET") : null;
  }

  async #memory() {
    const memory = await recall("registration");
    return memory && memory.account === this.account ? memory : null;
  }

  async #key() {
    if (!this.serverKey) {
      const known = await this.#ask(this.devices, "GET");
      this.serverKey = known.vapid_public_key;
      this.retries = known.retry_after_seconds || this.retries;
    }
    if (!this.serverKey) throw new PushProblem("no_key", "The server has no key for push notifications.");
    return this.serverKey;
  }

  async #subscription() {
    const registration = await navigator.serviceWorker.getRegistration(this.scope);
    return registration ? registration.pushManager.getSubscription() : null;
  }

  // A subscription made with another server key can never be sent to: it is made anew.
  async #subscribed(key) {
    await navigator.serviceWorker.register(this.worker, { scope: this.scope });
    const { pushManager } = await navigator.serviceWorker.ready;
    const found = await pushManager.getSubscription();
    if (found && sameKey(found, key)) return found;
    if (found) await found.unsubscribe();
    try {
      return await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
    } catch (error) {
      if (error.name === "NotAllowedError") throw new PushProblem("denied", "Notifications are blocked for this site.");
      throw new PushProblem("not_subscribed", `The browser's push service did not give an address: ${error.message}`);
    }
  }

  async #register(subscription) {
    const { endpoint, expirationTime, keys } = subscription.toJSON();
    const device = await this.#ask(this.devices, "POST", {
      transport: "webpush",
      app: this.app,
      installation_id: await installation(),
      name: this.name,
      platform: "web",
      locale: navigator.language || "",
      address: endpoint,
      p256dh: keys.p256dh,
      auth: keys.auth,
      application_server_key: this.serverKey,
      expiration_time: expirationTime ? new Date(expirationTime).toISOString() : null,
    });
    this.retries = device.retry_after_seconds || this.retries;
    const memory = { id: device.id, account: this.account, endpoint, at: Date.now(), asked: Date.now(), refresh: new URL(this.refresh, location.href).href, refreshToken: device.refresh_token };
    await remember("registration", memory);
    this.#changed("registered", device);
    return device;
  }

  async #left(memory, reason) {
    await remember("registration", null);
    await this.#ask(`${this.devices}${memory.id}/?reason=${reason}`, "DELETE").catch(() => null);
  }

  // One request, again after each of `retries` while nobody or only a broken server answers. A registration said twice
  // is the same registration, so this is safe.
  async #ask(address, method, body) {
    const options = { method, credentials: "same-origin", headers: { ...this.headers, Accept: "application/json" } };
    if (body) options.body = JSON.stringify(body), options.headers["Content-Type"] = "application/json";
    if (method !== "GET" && cookie("csrftoken")) options.headers["X-CSRFToken"] = cookie("csrftoken");
    let last = null;
    for (const wait of [0, ...this.retries]) {
      await seconds(Math.max(wait, last?.status === 429 ? Math.min(Number(last.headers.get("Retry-After")) || 0, 60) : 0));
      last = await fetch(address, options).catch(() => null);
      if (!last || last.status >= 500 || last.status === 429) continue;
      if (last.status === 204 || (method === "DELETE" && last.status === 404)) return null;
      const said = await last.json().catch(() => null);
      if (last.ok && said) return said;
      throw new PushProblem("refused", Object.values(said?.errors || {}).flat()[0] || said?.detail || `The server answered ${last.status}.`, said);
    }
    throw new PushProblem("unreachable", last ? `The server answered ${last.status}.` : "The server could not be reached.");
  }

  #watch() {
    if (!this.supported) return;
    navigator.serviceWorker.addEventListener("message", (event) => {
      if (event.data?.redrive === "changed") this.keep().catch(() => null).then(() => this.#changed("subscription"));
      if (event.data?.redrive === "push") this.#changed("push", event.data.push);
    });
    navigator.permissions?.query({ name: "notifications" }).then((permission) => {
      permission.onchange = () => this.keep().catch(() => null).then(() => this.#changed("permission"));
    }, () => null);
  }

  #changed(why, more = null) {
    this.dispatchEvent(new CustomEvent("change", { detail: { why, more } }));
  }
}

async function installation() {
  const known = await recall("installation");
  if (known) return known;
  const made = crypto.randomUUID ? crypto.randomUUID() : [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  await remember("installation", made);
  return made;
}

// IndexedDB, because the service worker reads it too.
function store(mode, act) {
  return new Promise((done, failed) => {
    const asked = indexedDB.open("redrive-push", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("memory");
    asked.onerror = () => failed(asked.error);
    asked.onsuccess = () => {
      const transaction = asked.result.transaction("memory", mode);
      const wanted = act(transaction.objectStore("memory"));
      transaction.oncomplete = () => { asked.result.close(); done(wanted.result); };
      transaction.onerror = () => { asked.result.close(); failed(transaction.error); };
    };
  });
}

const recall = (name) => store("readonly", (memory) => memory.get(name)).catch(() => null);
const remember = (name, value) => store("readwrite", (memory) => (value === null ? memory.delete(name) : memory.put(value, name)));

const cookie = (name) => document.cookie.split("; ").find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
const letters = (raw) => btoa(String.fromCharCode(...new Uint8Array(raw))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

// Browsers that do not tell the key of a subscription are trusted.
function sameKey(subscription, key) {
  const used = subscription.options?.applicationServerKey;
  return !used || letters(used) === key;
}

function described() {
  const agent = navigator.userAgent;
  const browser = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]].find(([mark]) => agent.includes(mark))?.[1] || "Browser";
  const system = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]].find(([mark]) => agent.includes(mark))?.[1];
  return system ? `${browser} on ${system}` : browser;
}
