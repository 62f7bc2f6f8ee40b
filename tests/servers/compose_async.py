"""Composes a message with Python's email package and sends it with aiosmtplib: port, then a file of JSON."""
import asyncio, email.message, email.policy, json, sys
import aiosmtplib

port, what = int(sys.argv[1]), json.load(open(sys.argv[2], encoding="utf-8"))
message = email.message.EmailMessage(policy=email.policy.SMTPUTF8 if what["kind"] == "smtputf8" else email.policy.SMTP)
message["From"], message["To"], message["Subject"] = what["from"], what["to"][0], what["subject"]
message.set_content(what["text"], cte="8bit" if what["kind"] in ("eight-bit", "smtputf8") else None)
if what["attachment"]:
    with open(what["attachment"], "rb") as file:
        message.add_attachment(file.read(), maintype="application", subtype="octet-stream", filename="figures.bin")


async def send():
    async with aiosmtplib.SMTP("127.0.0.1", port, timeout=60) as server:
        options = ["BODY=8BITMIME"] if what["kind"] == "eight-bit" else []
        await server.send_message(message, what["from"], what["to"], mail_options=options)


asyncio.run(send())
