/**
 * Metrics for Prometheus. They are read from the parts on request, so that no part depends on them.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/**
 * @param {object} parts
 * @param {import("./feed.js").Feed} parts.feed
 * @param {import("./market.js").Market} parts.market
 * @param {import("./audience.js").Audience} parts.audience
 * @param {{refused: number}} parts.connections
 * @returns {() => Promise<{contentType: string, text: string}>}
 */
export function createMetrics({ feed, market, audience, connections }) {
  const registry = new Registry();
  // In ms. By default it wakes the program 100 times a second, more than all else.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });

  let skipped = 0;
  market.on("skipped", () => {
    skipped += 1;
  });

  /** @param {string} name @param {string} help @param {() => number} read */
  const gauge = (name, help, read) => {
    new Gauge({
      name: `liveview_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  /** @param {string} name @param {string} help @param {() => number} read */
  const counter = (name, help, read) => {
    new Counter({
      name: `liveview_${name}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };

  gauge("ready", "1 while the database answers and the data is current, else 0", () => Number(feed.isCurrent));
  gauge("feed_lag_seconds", "How far the data is behind the database cluster", () => feed.lagMs / 1000);
  gauge("companies", "Companies shown", () => market.companies().length);
  gauge("companies_hidden", "Companies not shown because there are too many", () => market.hiddenCompanies);
  counter("averages", "Averages received from the database", () => market.received);
  counter("documents_skipped", "Documents skipped because they are not averages", () => skipped);
  counter("feed_resumed", "Times the change stream was resumed", () => feed.counts.resumed);
  counter("feed_reloaded", "Times all recent averages were read again", () => feed.counts.reloaded);
  counter("feed_failed", "Times the feed failed", () => feed.counts.failed);
  gauge("connections", "Open WebSockets", () => audience.size);
  counter("connections_refused", "WebSockets refused", () => connections.refused);
  counter("messages_sent", "Messages sent to browsers", () => audience.counts.messages);
  gauge("unread_bytes", "Bytes that browsers have not read yet", () => audience.unreadBytes);
  counter("updates_left_out", "Updates not sent to browsers that were too slow", () => audience.counts.leftOut);
  counter("browsers_let_go", "Browsers disconnected because they did not catch up", () => audience.counts.letGo);
  counter(
    "browsers_unanswered",
    "Browsers disconnected because they did not answer a ping",
    () => audience.counts.unanswered,
  );
  counter(
    "browsers_sent_elsewhere",
    "Browsers disconnected because the data was not current for some seconds",
    () => audience.counts.sentElsewhere,
  );
  counter("browsers_abusive", "Browsers disconnected because they sent a message", () => audience.counts.abusive);

  return async () => ({ contentType: registry.contentType, text: await registry.metrics() });
}
