// The page /sandbox: the live list, and the buttons. Every text of the server is shown as text.

const byId = (id) => document.getElementById(id);
const list = byId("list");
/** Entries that the list keeps. */
const MAX_ENTRIES = 200;

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function show({ at, kind, actor, text, link }) {
  const words = link === undefined ? text : element("a", { href: link }, text);
  if (link !== undefined) words.addEventListener("click", (event) => openMail(event, link));
  const row = element(
    "li",
    { class: `${kind} new` },
    element("time", { datetime: at }, time.format(new Date(at))),
    element("strong", {}, actor),
    element("span", { class: "text" }, words),
  );
  list.prepend(row);
  while (list.childElementCount > MAX_ENTRIES) list.lastElementChild.remove();
}

function openMail(event, link) {
  event.preventDefault();
  byId("mail-frame").src = link;
  byId("mail").showModal();
}

let reading;

/** Reads the users, at most once in 300 ms. */
function readUsers() {
  reading ??= setTimeout(async () => {
    reading = undefined;
    const answer = await fetch("/sandbox/state").catch(() => undefined);
    if (!answer?.ok) return;
    const { users } = await answer.json();
    const select = byId("user");
    const chosen = select.value;
    const options = users.map(({ sub, name, email }) => element("option", { value: sub }, `${name} <${email}>`));
    select.replaceChildren(...(options.length > 0 ? options : [element("option", { value: "" }, "No user yet")]));
    if (users.some(({ sub }) => sub === chosen)) select.value = chosen;
  }, 300);
}

async function act(action) {
  const notice = byId("notice");
  notice.textContent = "";
  const body = new URLSearchParams({ sub: byId("user").value });
  const answer = await fetch(`/sandbox/actions/${action}`, { method: "POST", body }).catch(() => undefined);
  if (answer === undefined) notice.textContent = "The sandbox does not answer. Is it still running?";
  else if (answer.status === 404) notice.textContent = "Sign up in the page first.";
  else if (!answer.ok) notice.textContent = `The sandbox answered ${answer.status}.`;
  else if (answer.status === 201) announceOrder(body.get("sub"), await answer.json());
}

/** Says to the user's page what a shop in the same page would say: it waits for the order. */
function announceOrder(sub, { after, orderId }) {
  const detail = { sub, after, kind: "order", id: orderId };
  byId("page").contentWindow.dispatchEvent(new CustomEvent("own-write", { detail }));
}

const events = new EventSource("/sandbox/events");
events.addEventListener("message", ({ data }) => {
  const entry = JSON.parse(data);
  show(entry);
  if (["trigger", "session"].includes(entry.kind)) readUsers();
});
events.addEventListener("error", () => {
  byId("notice").textContent = "No connection to the sandbox. Trying again …";
});
events.addEventListener("open", () => {
  byId("notice").textContent = "";
});

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => act(button.dataset.action));
}
byId("actions").addEventListener("submit", (event) => event.preventDefault());
byId("clear").addEventListener("click", () => list.replaceChildren());
byId("close").addEventListener("click", () => byId("mail").close());
readUsers();
