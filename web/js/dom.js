// Elements. Nothing here reads markup: texts become text nodes, so that a name such as
// `<img onerror=…>` shows as these characters.

export const byId = (id) => document.getElementById(id);

/** Creates an element. Children are nodes or texts. `undefined` attributes and children are left out. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

/** A text that comes from a user or a service. `bdi` keeps right-to-left text from reordering what is around it. */
export const written = (value) => element("bdi", {}, String(value));

/**
 * Replaces the children of a node. If one of them had the focus, the child with the same `data-key`
 * gets it, otherwise `fallback`: the focus must not fall back to the start of the page.
 */
export function replace(node, children, fallback) {
  const focused = node.contains(document.activeElement) ? document.activeElement : undefined;
  node.replaceChildren(...children.filter((child) => child !== undefined));
  if (!focused) return;
  const keyed = [...node.querySelectorAll("[data-key]")];
  (keyed.find((child) => child.dataset.key === focused.dataset.key) ?? fallback)?.focus();
}
