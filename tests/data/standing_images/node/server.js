const crypto = require("crypto"), os = require("os");
require("http").createServer((request, response) => response.end([
    crypto.createHash("sha256").update("a").digest("hex").slice(0, 8),
    os.userInfo().username,
    new Intl.DateTimeFormat("de-DE", { month: "long" }).format(new Date(0)),
].join(" "))).listen(8080);
