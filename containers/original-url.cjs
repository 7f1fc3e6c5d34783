// Sets MONGODB_URL from MONGODB_URL_FILE for the original live view, which does not read the file itself. This keeps the
// password out of `docker inspect`.
const { readFileSync } = require("node:fs");
process.env.MONGODB_URL = readFileSync(process.env.MONGODB_URL_FILE, "utf8").trim();
