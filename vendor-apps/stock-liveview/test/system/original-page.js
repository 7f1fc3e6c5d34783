/**
 * Behaves as the original live view's page does: reads `prices` from a WebSocket at the page's own address, complains
 * about any other message, comes back after a loss.
 */
let wait = 1000;

function watch() {
  const socket = new WebSocket(location.href.replace("http", "ws"));
  socket.addEventListener("open", () => {
    wait = 1000;
  });
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    // eslint-disable-next-line no-console -- as the original does; the test watches for it
    if (message.type !== "prices") console.error("unknown message", message.type);
    else if (message.prices.length > 0) show(message.prices);
  });
  socket.addEventListener("close", () => {
    setTimeout(watch, wait);
    wait = Math.min(wait * 2, 60_000);
  });
}

/** @param {Array<{company: string, avgPrice: number}>} prices */
function show(prices) {
  const list = /** @type {HTMLElement} */ (document.getElementById("prices"));
  list.replaceChildren(
    ...prices.map(({ company, avgPrice }) => {
      const box = document.createElement("div");
      const heading = document.createElement("h2");
      heading.innerText = company;
      const price = document.createElement("span");
      price.innerText = String(avgPrice);
      box.append(heading, price);
      return box;
    }),
  );
}

watch();
