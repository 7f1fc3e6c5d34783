// Gives the original live view, which knows no MONGODB_URL_FILE, its MONGODB_URL from there: so the password stays out
// of what the container engine tells of the container.
const { readFileSync } = require("node:fs");
process.env.MONGODB_URL = readFileSync(process.env.MONGODB_URL_FILE, "utf8").trim();
