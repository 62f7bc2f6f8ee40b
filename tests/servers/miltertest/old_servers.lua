-- Versions 2 to 6, each with what it had. Nothing is asked for that was not offered.
dofile(folder .. "/support.lua")
for version, offer in pairs({ [2] = { 0x3f, 0x7f }, [3] = { 0x3f, 0x1ff }, [4] = { 0x3f, 0x3ff }, [5] = { 0x3f, 0x3ff }, [6] = { 0x1ff, 0x1fffff } }) do
    local conn = connected(offer[1], offer[2], version)
    envelope(conn, "<ann@ours.example>", { "<client@elsewhere.example>" })
    message(conn, "version " .. version, "The figures of the winter are ready.")
    reply_is(conn, SMFIR_ACCEPT, "version " .. version)
    assert(mt.eom_check(conn, MT_BODYCHANGE), "the notice in version " .. version)
    mt.disconnect(conn)
end
