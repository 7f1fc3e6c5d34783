/**
 * Structured logs on stderr, one line each: text or JSON.
 */

const LEVELS = /** @type {const} */ (["debug", "info", "warn", "error"]);

/** @typedef {Record<string, string | number | boolean | undefined>} Fields */
/** @typedef {(message: string, fields?: Fields) => void} Write */
/** @typedef {Record<(typeof LEVELS)[number], Write>} Log */

/**
 * @param {object} options
 * @param {"text" | "json"} options.format
 * @param {(typeof LEVELS)[number]} options.level  lowest level that is written
 * @param {(line: string) => void} [options.write]  default: to stderr
 * @returns {Log}
 */
export function createLog({ format, level, write = (line) => process.stderr.write(line) }) {
  const lowest = LEVELS.indexOf(level);

  /** @param {(typeof LEVELS)[number]} name @returns {Write} */
  const writer = (name) => {
    if (LEVELS.indexOf(name) < lowest) return () => {};
    return (message, fields = {}) => {
      const time = new Date().toISOString();
      if (format === "json") {
        write(`${JSON.stringify({ time, level: name, message, ...fields })}\n`);
        return;
      }
      const details = Object.entries(fields)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => ` ${key}=${typeof value === "string" ? quoted(value) : value}`);
      write(`${time} ${name.toUpperCase().padEnd(5)} ${message}${details.join("")}\n`);
    };
  };
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  };
}

/** Keeps a field on one line, so that text from outside cannot forge a log line. @param {string} text */
function quoted(text) {
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text);
}

/**
 * An error's message without the passwords of connection strings, safe to log.
 * @param {unknown} error
 */
export function reason(error) {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replaceAll(/\/\/[^@/\s]*@/g, "//***@");
}
