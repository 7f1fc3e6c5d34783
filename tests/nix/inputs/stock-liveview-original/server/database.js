// The original has its database and WebSocket code in this folder.
const { MongoClient } = require("mongodb");

const client = new MongoClient(process.env.MONGODB_URL || "mongodb://127.0.0.1:27017/?replicaSet=rs0");
const averages = client.db(process.env.MONGODB_DB || "stockmarket").collection(process.env.MONGODB_COLLECTION || "stocks");

exports.newestAverages = async () => {
  const companies = (await averages.distinct("company")).sort();
  return Promise.all(companies.map((company) => averages.findOne({ company }, { sort: { _id: -1 } })));
};
