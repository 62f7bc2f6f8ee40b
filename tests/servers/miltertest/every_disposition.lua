-- Returned, held and relayed on one connection, an aborted message between them.
dofile(folder .. "/support.lua")
local conn = connected()
envelope(conn, "<ann@ours.example>", { "<client@elsewhere.example>" })
message(conn, "returned", "Forward this to everyone you know. Do not break the chain, or you will have bad luck!")
reply_is(conn, SMFIR_REPLYCODE, "returned")

envelope(conn, "<ann@ours.example>", { "<client@elsewhere.example>" })
assert(mt.header(conn, "Subject", " never mind") == nil, "header")
assert(mt.abort(conn) == nil, "abort")

envelope(conn, "<ann@ours.example>", { "<client@elsewhere.example>" })
message(conn, "held", "Her National Insurance number is QQ 12 34 56 C.")
reply_is(conn, SMFIR_DISCARD, "held")

envelope(conn, "<ann@ours.example>", { "<client@elsewhere.example>" })
message(conn, "relayed", "The figures of the summer are ready.")
reply_is(conn, SMFIR_ACCEPT, "relayed")
mt.disconnect(conn)
