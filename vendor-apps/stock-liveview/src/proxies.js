/**
 * Who asks, when proxies are in between. What a proxy says about its client counts only if the proxy is one of
 * `TRUSTED_PROXIES`: anyone can send these headers.
 */
import { BlockList, isIP } from "node:net";

/** @typedef {import("node:http").IncomingMessage} Request */

/**
 * @param {readonly string[]} networks  addresses, and networks such as `10.0.0.0/8`
 * @returns {BlockList | undefined} undefined if one of them is neither
 */
export function parseNetworks(networks) {
  const list = new BlockList();
  for (const network of networks) {
    const [address, bits, ...more] = network.split("/");
    const version = isIP(address);
    const isValid = version > 0 && more.length === 0 && (bits === undefined || /^\d{1,3}$/.test(bits));
    const longest = version === 4 ? 32 : 128;
    if (!isValid || Number(bits ?? longest) > longest) return undefined;
    list.addSubnet(address, Number(bits ?? longest), version === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

/** The address of the client, as far as trusted proxies tell it. @param {Request} request @param {BlockList} trusted */
export function clientOf(request, trusted) {
  const told = values(request, "x-forwarded-for");
  let address = request.socket.remoteAddress ?? "";
  while (isIn(trusted, address)) {
    const before = told.pop();
    if (before === undefined || isIP(before) === 0) break;
    address = before;
  }
  return address;
}

/**
 * The hosts by which the client may have asked, for example `localhost:3000`. There can be several, because a proxy may
 * replace the host. A page cannot forge them: browsers let no page set these headers on a WebSocket.
 * @param {Request} request @param {BlockList} trusted
 */
export function hostsOf(request, trusted) {
  const { host = "" } = request.headers;
  return isIn(trusted, request.socket.remoteAddress ?? "") ? [host, ...values(request, "x-forwarded-host")] : [host];
}

/** @param {Request} request @param {string} name */
function values(request, name) {
  return String(request.headers[name] ?? "")
    .split(",")
    .map((value) => value.trim())
    .filter(Boolean);
}

/** @param {BlockList} list @param {string} address */
function isIn(list, address) {
  const version = isIP(address);
  return version > 0 && list.check(address, version === 4 ? "ipv4" : "ipv6");
}
