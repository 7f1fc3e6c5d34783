// What to measure, and how long: environment variables, or words after the command.

const text = process.env;
const isQuick = text.QUICK === "1";

/** @param {string} name @param {number} usual @param {number} quick  with QUICK=1 */
function whole(name, usual, quick) {
  const value = Number(text[name] || (isQuick ? quick : usual));
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`${name} is not a whole number above 0: ${text[name]}`);
}

/** @param {string} name @param {(string | number)[]} usual @param {(string | number)[]} quick */
function list(name, usual, quick) {
  return (text[name]?.split(/[\s,]+/).filter(Boolean) ?? (isQuick ? quick : usual)).map(String);
}

export function readSettings() {
  const trades = whole("TRADES", 500_000, 50_000);
  // The publisher has a variable of this name, too.
  delete text.TRADES;
  return {
    isQuick,
    rounds: whole("ROUNDS", 5, 1),
    /** For how long the load is measured. */
    seconds: whole("SECONDS_OF_LOAD", 20, 5),
    trades,
    kinds: list("KINDS", ["classic", "quorum", "original"], ["quorum"]),
    queues: list("QUEUES", [1, 3], [1]).map(Number),
    peers: list("PEERS", ["node", "go", "python", "rust"], ["node", "go", "python", "rust"]),
    companies: list("COMPANIES", [3, 30, 500], [3, 30]).map(Number),
    backlogs: list("BACKLOGS", [10_000, 100_000, 500_000, 5_000_000], [10_000, 50_000]).map(Number),
    averages: list("AVERAGES", [1000, 10_000, 100_000, 1_000_000], [1000, 10_000]).map(Number),
    baseline: text.BASELINE,
    baselinePublisher: text.BASELINE_PUBLISHER,
  };
}

export const HELP = `make bench [PART="cost drain …"] [QUICK=1] [NAME=VALUE…]

Measures the system on this machine, prints a table for each question, and writes tables, figures and
plots to bench/results/, with QUICK=1 to .local/bench/results/. It starts its own broker and database.

  PART               which questions; empty: all
    cost             processor time of the whole system at its usual load, ours beside a naive one
    drain            how fast a backlog is drained, ours beside the limit and four other clients
    latency          from a window's last trade to the WebSocket behind NGINX
    growth           companies, growth-backlog, growth-averages: what grows with what
    start            how soon each program is ready; sizes of images
    liveview         the live view's own promises; takes minutes, and needs a browser
  ROUNDS             rounds, in each of which everything is measured once         5   QUICK=1: 1
  SECONDS_OF_LOAD    how long a load is measured                                  20          5
  TRADES             trades in the prepared queues                                500000      50000
  KINDS              kinds of queues to drain                                     classic quorum original
  QUEUES             how many queues are drained at once                          1 3         1
  PEERS              clients to compare with                                      node go python rust
  COMPANIES          for growth                                                   3 30 500    3 30
  BACKLOGS           for growth                                                   10000 100000 500000 5000000
  AVERAGES           for growth                                                   1000 10000 100000 1000000
  BASELINE           the program stock-consumer of another version, compared in drain, and in cost with
  BASELINE_PUBLISHER the program stock-publisher of that version
  CONSUMER PUBLISHER programs to measure instead of those of this clone
  LIVEVIEW           which of the live view's: latency cost fan-out page; empty: all
  PROFILE            how Cargo builds the consumer: dev is built sooner              release
  CONSUMERS          consumer processes of the usual load; empty: one for each company
  RESULTS            the folder to write to
`;
