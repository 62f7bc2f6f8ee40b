-- What the scripts share. `port` comes from the command line.

function connected(actions, steps, version)
    local conn = mt.connect("inet:" .. port .. "@127.0.0.1", 20, 0.1)
    assert(conn ~= nil, "the door is closed")
    assert(mt.negotiate(conn, version, actions, steps) == nil, "no agreement")
    assert(mt.conninfo(conn, "client.ours.example", "192.0.2.77") == nil, "connect")
    return conn
end

function reply_is(conn, letter, stage)
    local got = mt.getreply(conn)
    assert(got == letter, stage .. ": reply " .. string.char(got))
end

function envelope(conn, from, to)
    mt.macro(conn, SMFIC_MAIL, "i", "4TESTQUEUE", "{auth_authen}", "ann")
    assert(mt.mailfrom(conn, from) == nil, "MAIL")
    reply_is(conn, SMFIR_CONTINUE, "MAIL")
    for _, recipient in ipairs(to) do
        assert(mt.rcptto(conn, recipient) == nil, "RCPT")
        reply_is(conn, SMFIR_CONTINUE, "RCPT")
    end
end

function message(conn, subject, text)
    assert(mt.header(conn, "From", " Ann <ann@ours.example>") == nil, "header")
    assert(mt.header(conn, "To", " client@elsewhere.example") == nil, "header")
    assert(mt.header(conn, "Subject", " " .. subject) == nil, "header")
    assert(mt.header(conn, "MIME-Version", " 1.0") == nil, "header")
    assert(mt.header(conn, "Content-Type", " text/plain; charset=us-ascii") == nil, "header")
    assert(mt.eoh(conn) == nil, "end of header")
    assert(mt.bodystring(conn, text .. "\r\n") == nil, "body")
    assert(mt.eom(conn) == nil, "end of body")
end
