// Composes a message with nodemailer and sends it: path of nodemailer, port, then a file of JSON.
const [nodemailer, port, file] = process.argv.slice(2);
const what = JSON.parse(require("fs").readFileSync(file, "utf8"));
const transport = require(nodemailer).createTransport({ host: "127.0.0.1", port: Number(port), secure: false });
const envelope = { from: what.from, to: what.to };
let mail = { envelope, from: what.from, to: what.to[0], subject: what.subject, text: what.text };
if (what.attachment) mail.attachments = [{ filename: "figures.bin", path: what.attachment }];
// It writes no 8-bit text itself.
if (what.kind === "eight-bit") mail = { envelope: { ...envelope, use8BitMime: true }, raw: { path: what.raw } };
transport.sendMail(mail).catch((error) => { console.error(error.message); process.exit(1); });
