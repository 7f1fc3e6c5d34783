/**
 * What to do when the database and this program do not agree on TLS.
 */
import { MongoServerSelectionError } from "mongodb";

const UNTRUSTED =
  "if the certificate's authority is yours, name the file of its certificate as tlsCAFile in MONGODB_URL, or in NODE_EXTRA_CA_CERTS";

/** By the codes of OpenSSL and Node. @type {Readonly<Record<string, string>>} */
const ADVICE = {
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_SIGNATURE_FAILURE: UNTRUSTED,
  CERT_HAS_EXPIRED: "renew the database's certificate, or its authority's",
  CERT_NOT_YET_VALID: "is this machine's clock right?",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "use hosts that the certificate names in MONGODB_URL, and in the replica set's configuration",
};

/**
 * @param {unknown} error       why the database cannot be reached
 * @param {boolean} isEncrypted whether this side speaks TLS
 * @returns {string | undefined} nothing if it has nothing to do with TLS
 */
export function adviceOnTls(error, isEncrypted) {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (cause);
    if (code && code in ADVICE) return ADVICE[code];
  }
  const isClosed = error instanceof MongoServerSelectionError && /closed|disconnected/.test(error.message);
  if (!isClosed) return undefined;
  return isEncrypted
    ? "if the database does not speak TLS on this port, remove tls=true from MONGODB_URL"
    : "if the database speaks TLS on this port, use tls=true in MONGODB_URL";
}
