//! Invented messages as mail programs write them in HTML, and the lines that a reader sees, behind their letters.

use super::tests::{FORWARD, NEITHER, REPLY, check_html};

#[test]
fn outlook() {
    let head = "<p class=MsoNormal><b>From:</b> Ben &lt;ben@partner.example&gt;<br><b>Sent:</b> 01 June 2026 09:12<br>\
                <b>To:</b> Ada<br><b>Subject:</b> Visit</p>";
    let border = "<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'>";
    let shown = |letter: &str| {
        ["From: Ben <ben@partner.example>", "Sent: 01 June 2026 09:12", "To: Ada", "Subject: Visit"]
            .map(|line| format!("{letter} {line}\n"))
            .concat()
    };
    let desktop = format!(
        "<div class=WordSection1><p class=MsoNormal>Tuesday.</p><p class=MsoNormal>Kind regards</p><p>Ada</p>\
         <div>{border}{head}</div></div><p class=MsoNormal>When?</p><blockquote>old</blockquote><p>Ben</p></div>"
    );
    let expected = format!("O Tuesday.\nO Kind regards\ns Ada\n{}Q When?\nQ old\nQ Ben", shown("Q"));
    check_html("desktop", REPLY, &desktop, &expected);
    let pasted = format!("<p>See below</p><div>{border}{head}</div></div><p>When?</p>");
    check_html("pasted into a new message", NEITHER, &pasted, &format!("O See below\n{}Q When?", shown("Q")));
    let typed = format!("<p>See below</p>{head}<p>you fool</p>");
    check_html("typed into a new message", NEITHER, &typed, &format!("O See below\n{}q you fool", shown("q")));
    let web = format!(
        "<div>Fine.</div><div id=\"Signature\"><p>Ada</p></div><div id=\"appendonsend\"></div>\
         <hr style=\"display:inline-block;width:98%\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\" dir=\"ltr\">{head}</div>\
         <div>When?</div><div id=x_Signature>Ben</div>"
    );
    check_html("on the web", REPLY, &web, &format!("O Fine.\nS Ada\n{}Q When?\nQ Ben", shown("Q")));
    check_html("forwarded on the web", FORWARD, &web, &format!("O Fine.\nS Ada\n{}F When?\nF Ben", shown("F")));
}

#[test]
fn outlook_elsewhere() {
    for (name, context, html, expected) in [
        (
            "in a language that is not known",
            REPLY,
            "<div>Ano.</div><div id=appendonsend></div><hr><div id=divRplyFwdMsg><b>Od:</b> Ben<br><b>Komu:</b> Ada</div>\
             <div>Kdy?</div>",
            "O Ano.\nQ Od: Ben\nQ Komu: Ada\nQ Kdy?",
        ),
        (
            "for Mac, with a span around it",
            REPLY,
            "<div>Yes.</div><span id=\"OLK_SRC_BODY_SECTION\"><div>Ben, at nine:</div><div>When?</div></span><div>mine</div>",
            "O Yes.\nQ Ben, at nine:\nQ When?\nO mine",
        ),
        (
            "mobile",
            REPLY,
            "<div>Yes.</div><div id=\"ms-outlook-mobile-signature\">Get it</div>\
             <div class=\"ms-outlook-mobile-reference-message skipProofing\"><b>Od:</b> Ben<br>Kdy?</div>",
            "O Yes.\nS Get it\nQ Od: Ben\nQ Kdy?",
        ),
        (
            "German, without any element",
            REPLY,
            "<p>Gern.</p><p><b>Von:</b> Ben<br><b>Gesendet:</b> Montag<br><b>An:</b> Ada<br><b>Betreff:</b> Besuch</p><p>Wann?</p>",
            "O Gern.\nQ Von: Ben\nQ Gesendet: Montag\nQ An: Ada\nQ Betreff: Besuch\nQ Wann?",
        ),
        (
            "French, without any element",
            REPLY,
            "<p>Oui.</p><p><b>De&nbsp;:</b> Ben<br><b>Envoyé&nbsp;:</b> lundi<br><b>À&nbsp;:</b> Ada<br><b>Objet&nbsp;:</b> x</p><p>Quand ?</p>",
            "O Oui.\nQ De\u{a0}: Ben\nQ Envoyé\u{a0}: lundi\nQ À\u{a0}: Ada\nQ Objet\u{a0}: x\nQ Quand ?",
        ),
        (
            "with answers written into it",
            REPLY,
            "<p>My comments are inline, in blue.</p><div id=divRplyFwdMsg><b>From:</b> Ben</div><p>When?</p><p>Tuesday!</p>",
            "O My comments are inline, in blue.\nq From: Ben\nq When?\nq Tuesday!",
        ),
    ] {
        check_html(name, context, html, expected);
    }
}

#[test]
fn gmail() {
    for (name, context, html, expected) in [
        (
            "top posting with a signature",
            REPLY,
            "<div dir=ltr>Yes.<br clear=all><div><br></div><span class=gmail_signature_prefix>-- </span><br>\
             <div dir=ltr class=gmail_signature>Ada</div></div><br><div class=\"gmail_quote gmail_quote_container\">\
             <div dir=ltr class=gmail_attr>On Mon, 1 Jun 2026 at 09:12, Ben &lt;<a href=x>ben@partner.example</a>&gt; wrote:<br></div>\
             <blockquote class=gmail_quote style=\"border-left:1px solid\"><div>When?</div></blockquote></div>",
            "O Yes.\nS --\nS Ada\nQ On Mon, 1 Jun 2026 at 09:12, Ben <ben@partner.example> wrote:\nQ When?",
        ),
        (
            "in between: what stands between the quotations is the author's",
            REPLY,
            "<div class=gmail_quote><div class=gmail_attr>On Mon, 1 Jun 2026 at 09:12, Ben wrote:<br></div>\
             <blockquote class=gmail_quote>When?</blockquote><div>Tuesday.</div><blockquote class=gmail_quote>Where?</blockquote>\
             <div>Here.</div></div>",
            "Q On Mon, 1 Jun 2026 at 09:12, Ben wrote:\nQ When?\nO Tuesday.\nQ Where?\nO Here.",
        ),
        (
            "in a language that is not known",
            REPLY,
            "<div>Ano.</div><div class=gmail_quote><div class=gmail_attr>po 1. 6. 2026 v 9:12 odesílatel Ben:</div>\
             <blockquote class=gmail_quote>Kdy?</blockquote></div>",
            "O Ano.\nQ po 1. 6. 2026 v 9:12 odesílatel Ben:\nQ Kdy?",
        ),
        (
            "forwarded",
            FORWARD,
            "<div>See.</div><div class=gmail_quote><div class=gmail_attr>---------- Forwarded message ---------<br>\
             From: Ben<br>Date: Mon, 1 Jun 2026<br>Subject: x<br>To: Ada<br></div>When?<blockquote>old</blockquote></div>mine",
            "O See.\nF ---------- Forwarded message ---------\nF From: Ben\nF Date: Mon, 1 Jun 2026\nF Subject: x\nF To: Ada\n\
             F When?\nF old\nO mine",
        ),
        (
            "a frame alone",
            REPLY,
            "<div>Yes.</div><div class=gmail_quote>Ben, at nine:<br>When?</div>",
            "O Yes.\nQ Ben, at nine:\nQ When?",
        ),
        (
            "the button of the editor, in a message that answers nothing",
            NEITHER,
            "<div>Hear:</div><blockquote class=gmail_quote>you fool</blockquote>",
            "O Hear:\nq you fool",
        ),
    ] {
        check_html(name, context, html, expected);
    }
}

#[test]
fn others() {
    for (name, context, html, expected) in [
        (
            "Apple Mail",
            REPLY,
            "<div>Yes.</div><div><br><blockquote type=cite><div>On 1 Jun 2026, at 09:12, Ben &lt;ben@partner.example&gt; wrote:</div>\
             <br><div>When?</div></blockquote></div><div>And where?</div>",
            "O Yes.\nQ On 1 Jun 2026, at 09:12, Ben <ben@partner.example> wrote:\nQ When?\nO And where?",
        ),
        (
            "Apple Mail, forwarded",
            FORWARD,
            "<div>See.</div><blockquote type=cite><div>Begin forwarded message:</div><br><div><b>From: </b>Ben</div>\
             <div><b>Subject: </b>x</div><div><b>Date: </b>1 June 2026</div><br><div>When?</div></blockquote>",
            "O See.\nF Begin forwarded message:\nF From: Ben\nF Subject: x\nF Date: 1 June 2026\nF When?",
        ),
        (
            "iPhone",
            REPLY,
            "<div dir=ltr>Yes<br><br><div dir=ltr>Sent from my iPhone</div><div dir=ltr><br><blockquote type=cite>\
             On 1 Jun 2026, at 09:12, Ben wrote:<br><br></blockquote></div><blockquote type=cite><div>When?</div></blockquote></div>",
            "O Yes\nS Sent from my iPhone\nQ On 1 Jun 2026, at 09:12, Ben wrote:\nQ When?",
        ),
        (
            "Thunderbird",
            REPLY,
            "<div class=moz-cite-prefix>Am 01.06.26 um 09:12 schrieb Ben:<br></div><blockquote type=cite cite=\"mid:x\"><p>Wann?</p>\
             </blockquote><p>Dienstag.</p><div class=moz-signature>-- <br>Ada</div>",
            "Q Am 01.06.26 um 09:12 schrieb Ben:\nQ Wann?\nO Dienstag.\nS --\nS Ada",
        ),
        (
            "Thunderbird, forwarded",
            FORWARD,
            "<p>See.</p><div class=moz-forward-container><br>-------- Forwarded Message --------<table><tr><th>Subject: </th><td>x</td>\
             </tr><tr><th>From: </th><td>Ben</td></tr></table>When?</div>",
            "O See.\nF -------- Forwarded Message --------\nF Subject:\tx\nF From:\tBen\nF When?",
        ),
        (
            "Yahoo",
            REPLY,
            "<div>Yes.</div><div id=\"yahoo_quoted_0815\" class=\"yahoo_quoted\"><div>On Monday, 1 June 2026 at 09:12, Ben wrote:</div>\
             <div>When?</div></div>",
            "O Yes.\nQ On Monday, 1 June 2026 at 09:12, Ben wrote:\nQ When?",
        ),
        (
            "GMX",
            REPLY,
            "<div>Ja.</div><div name=\"quote\" style=\"border-left:2px solid\"><b>Gesendet:</b> Montag<br><b>Von:</b> Ben<div>Wann?</div></div>",
            "O Ja.\nQ Gesendet: Montag\nQ Von: Ben\nQ Wann?",
        ),
        (
            "Zimbra",
            REPLY,
            "<div>Yes.</div><hr id=\"zwchr\"><div><b>Od: </b>Ben</div><div>When?</div>",
            "O Yes.\nQ Od: Ben\nQ When?",
        ),
        (
            "Proton",
            REPLY,
            "<div>Yes.</div><div class=protonmail_signature_block>Ada</div><div class=protonmail_quote>-------- Original Message --------<br>\
             On Monday, Ben wrote:<br><blockquote class=protonmail_quote type=cite>When?</blockquote></div>",
            "O Yes.\nS Ada\nQ -------- Original Message --------\nQ On Monday, Ben wrote:\nQ When?",
        ),
        (
            "Outlook Express",
            REPLY,
            "<P>Yes.</P><BLOCKQUOTE style=\"PADDING-LEFT: 5px; BORDER-LEFT: #000000 2px solid\"><DIV>----- Original Message ----- </DIV>\
             <DIV>When?</DIV></BLOCKQUOTE><P>mine</P>",
            "O Yes.\nQ ----- Original Message -----\nQ When?\nO mine",
        ),
        (
            "a block of the author's own",
            REPLY,
            "<p>He sings:</p><blockquote>you fool</blockquote><p>bye</p>",
            "O He sings:\nq you fool\nO bye",
        ),
        (
            "a block behind the line that introduces it",
            NEITHER,
            "<p>On 1 June 2026 a client wrote:</p><blockquote>you fool</blockquote><p>bye</p><blockquote>fool</blockquote>",
            "Q On 1 June 2026 a client wrote:\nQ you fool\nO bye\nq fool",
        ),
        ("indented", REPLY, "<p>a</p><blockquote style='margin:0 0 0 40px; border: none'>b</blockquote>", "O a\nO b"),
        (
            "a notice",
            NEITHER,
            "<p>Agreed.</p><p>This email and any attachments are confidential and intended solely for the addressee. If you received it in \
             error, please notify the sender and delete it.</p>",
            "O Agreed.\nN This email and any attachments are confidential and intended solely for the addressee. If you received it in \
             error, please notify the sender and delete it.",
        ),
    ] {
        check_html(name, context, html, expected);
    }
}
