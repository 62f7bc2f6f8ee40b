-- Mail from outside to our own people by nobody who is logged in: not touched.
dofile(folder .. "/support.lua")
local conn = connected()
mt.macro(conn, SMFIC_MAIL, "i", "4TESTQUEUE")
assert(mt.mailfrom(conn, "<client@elsewhere.example>") == nil, "MAIL")
assert(mt.rcptto(conn, "<ann@ours.example>") == nil, "RCPT")
assert(mt.header(conn, "From", " client@elsewhere.example") == nil, "header")
assert(mt.header(conn, "Subject", " incoming") == nil, "header")
assert(mt.eoh(conn) == nil, "end of header")
assert(mt.bodystring(conn, "My National Insurance number is QQ 12 34 56 C.\r\n") == nil, "body")
assert(mt.eom(conn) == nil, "end of body")
reply_is(conn, SMFIR_ACCEPT, "end of body")
for _, change in ipairs({ MT_HDRADD, MT_HDRINSERT, MT_HDRCHANGE, MT_HDRDELETE, MT_BODYCHANGE }) do
    assert(not mt.eom_check(conn, change), "changed")
end
mt.disconnect(conn)
