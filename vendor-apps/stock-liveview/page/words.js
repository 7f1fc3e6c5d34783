/**
 * Times and values of charts in words. Pure.
 */
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Axis values from here on have a unit: 1.5M. */
const COMPACT_FROM = 1e6;
/** Axis values with more decimals are written as 1.23e-9. */
const MAX_DECIMALS = 8;

/** Formatters are costly to make. @type {Map<string, Intl.NumberFormat>} */
const numberFormats = new Map();
/** @type {Map<string, Intl.DateTimeFormat>} */
const zoneFormats = new Map();

/** How long something lasts, in at most two units. @param {number} ms */
export function lasting(ms) {
  if (ms < 9950) return `${(Math.max(ms, 0) / 1000).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.round(ms / 1000)} s`;
  const minutes = Math.round(ms / MINUTE);
  if (minutes < 60) return ms < 10 * MINUTE ? twoUnits(Math.round(ms / 1000), 60, "min", "s") : `${minutes} min`;
  if (ms < DAY) return twoUnits(minutes, 60, "h", "min");
  const days = Math.round(ms / HOUR);
  return twoUnits(days, 24, days < 48 ? "day" : "days", "h");
}

/** A pause, in words. @param {number} ms @param {boolean} isSampled  whether its ends are known only roughly */
export function withoutWindows(ms, isSampled) {
  return `no windows for ${isSampled ? "about " : ""}${lasting(ms)}`;
}

/**
 * How long a window was on its way to the page, by two machines' clocks.
 * @param {number} ms
 */
export function delay(ms) {
  return ms < -500 ? `none: its clock is ${lasting(-ms)} ahead` : lasting(ms);
}

/** The viewer's time zone, by its place and its short name. @param {number} now @param {string} [timeZone] */
export function zone(now, timeZone) {
  const key = timeZone ?? "";
  const format = zoneFormats.get(key) ?? new Intl.DateTimeFormat("en-GB", { timeZone, timeZoneName: "short" });
  zoneFormats.set(key, format);
  const place = format.resolvedOptions().timeZone;
  const name = format.formatToParts(now).find(({ type }) => type === "timeZoneName")?.value ?? place;
  return place === name || place === "UTC" ? name : `${name}, ${place.replaceAll("_", " ")}`;
}

/** A change, in percent. @param {number | null | undefined} value */
export function percent(value) {
  if (typeof value !== "number") return "–";
  const digits = Math.abs(value) >= 1000 ? 0 : 2;
  return `${signed(value, digits)} %`;
}

/**
 * The values of an axis, each with as many digits as tell it from the next.
 * @param {readonly number[]} values @param {number} step  between them
 * @param {boolean} [isChange]  percent, with signs
 */
export function axisLabels(values, step, isChange = false) {
  if (isChange) return values.map((value) => `${signed(value, decimals(step))} %`);
  const largest = Math.max(...values.map(Math.abs), 0);
  if (decimals(step) > MAX_DECIMALS) {
    const digits = Math.max(Math.ceil(Math.log10(largest / step)), 0);
    return values.map((value) => minus(value === 0 ? "0" : value.toExponential(Math.min(digits, 15))));
  }
  if (largest < COMPACT_FROM) return values.map((value) => fixed(value, decimals(step), largest < 1 ? 0 : 2));
  const unit = largest >= 1e15 ? largest : 1000 ** Math.floor(Math.log10(largest) / 3);
  if (largest >= 1e15) {
    const digits = Math.max(Math.ceil(Math.log10(unit / step)), 0);
    return values.map((value) => minus(value.toExponential(Math.min(digits, 15))));
  }
  const letter = { 1e6: "M", 1e9: "B", 1e12: "T" }[unit] ?? "";
  return values.map((value) => `${fixed(value / unit, decimals(step / unit), 0)}${letter}`);
}

/** Decimals that tell a value from the next. @param {number} step */
function decimals(step) {
  if (!(step > 0)) return 2;
  // 2.5 has one decimal more than 2 or 5.
  const power = Math.floor(Math.log10(step) + 1e-9);
  const isWhole = Math.abs(step / 10 ** power - Math.round(step / 10 ** power)) < 1e-6;
  return Math.max(0, -power + (isWhole ? 0 : 1));
}

/** @param {number} value @param {number} digits @param {number} least */
function fixed(value, digits, least) {
  return decimal(value, Math.max(digits, least), "auto");
}

/** @param {number} value @param {number} digits */
function signed(value, digits) {
  return decimal(value, digits, "exceptZero");
}

/** @param {number} value @param {number} digits @param {"auto" | "exceptZero"} signDisplay */
function decimal(value, digits, signDisplay) {
  const key = `${signDisplay} ${digits}`;
  let format = numberFormats.get(key);
  if (!format) {
    const wanted = Math.min(digits, 15);
    format = new Intl.NumberFormat("en-US", {
      signDisplay,
      minimumFractionDigits: wanted,
      maximumFractionDigits: wanted,
    });
    numberFormats.set(key, format);
  }
  return minus(format.format(value));
}

/** @param {string} text */
function minus(text) {
  return text.replaceAll("-", "−");
}

/** @param {number} small  in the smaller unit @param {number} size  of the larger one @param {string} large @param {string} unit */
function twoUnits(small, size, large, unit) {
  const rest = small % size;
  return `${Math.floor(small / size)} ${large}${rest ? ` ${rest} ${unit}` : ""}`;
}
