//! Invented messages as mail programs write them in plain text. In front of each line stands whose words it is: Own,
//! Quoted, Forwarded, Signature, Notice; in a small letter where that is not sure.

use super::tests::{FORWARD, NEITHER, REPLY, check};

#[test]
fn outlook() {
    for (name, context, lines) in [
        (
            "desktop, English",
            REPLY,
            "O Thanks, Tuesday it is.
             S -- \n
             S Ada Fenwick
             Q From: Ben Harrow <ben@partner.example>
             Q Sent: 01 June 2026 09:12
             Q To: Ada Fenwick <ada@ours.example>
             Q Subject: Visit
             Q \n
             Q Can you come on Tuesday?
             Q Ben",
        ),
        (
            "on the web, with its rule",
            REPLY,
            "O Fine by me.
             Q ________________________________
             Q From: Ben Harrow <ben@partner.example>
             Q Sent: Monday, June 1, 2026 9:12 AM
             Q To: Ada Fenwick
             Q Cc: Cara Lind
             Q Subject: Re: Visit
             Q
             Q Is Tuesday all right?
             Q ________________________________
             Q From: Ada Fenwick
             Q Sent: 31 May 2026
             Q To: Ben
             Q Subject: Visit
             Q
             Q When?",
        ),
        (
            "German",
            REPLY,
            "O Gern am Dienstag.
             O Viele Grüße
             s Ada
             Q
             Q Von: Ben Harrow <ben@partner.example>
             Q Gesendet: Montag, 1. Juni 2026 09:12
             Q An: Ada Fenwick
             Q Betreff: AW: Besuch
             Q
             Q Wann passt es?",
        ),
        (
            "French, with spaces in front of the colons",
            REPLY,
            "O Mardi me convient.
             O Cordialement,
             s Ada Fenwick
             s Directrice
             Q De\u{a0}: Ben Harrow <ben@partner.example>
             Q Envoyé\u{a0}: lundi 1 juin 2026 09:12
             Q À\u{a0}: Ada Fenwick
             Q Objet\u{a0}: Visite
             Q
             Q Quand venez-vous ?",
        ),
        (
            "Welsh",
            REPLY,
            "O Diolch, byddaf yno.
             Q Oddi wrth: Ben Harrow
             Q Anfonwyd: 01 Mehefin 2026 09:12
             Q At: Ada Fenwick
             Q Pwnc: Ymweliad
             Q Pryd?",
        ),
        (
            "Spanish",
            REPLY,
            "O El martes.
             Q De: Ben Harrow
             Q Enviado el: lunes, 1 de junio de 2026 9:12
             Q Para: Ada Fenwick
             Q Asunto: Visita
             Q ¿Cuándo?",
        ),
        (
            "Dutch",
            REPLY,
            "O Dinsdag is goed.
             Q Van: Ben Harrow
             Q Verzonden: maandag 1 juni 2026 9:12
             Q Aan: Ada Fenwick
             Q Onderwerp: Bezoek
             Q Wanneer?",
        ),
        (
            "an old one",
            REPLY,
            "O Yes.
             Q -----Original Message-----
             Q From: Ben
             Q Sent: Monday
             Q To: Ada
             Q Subject: Visit
             Q Coming?",
        ),
        (
            "an old German one",
            REPLY,
            "O Ja.
             Q -----Ursprüngliche Nachricht-----
             Q Von: Ben
             Q Kommst du?",
        ),
        (
            "mobile",
            REPLY,
            "O Will do.
             S Get Outlook for iOS<https://aka.example/o0ukef>
             Q ________________________________
             Q From: Ben Harrow <ben@partner.example>
             Q Sent: Monday, June 1, 2026 9:12:44 AM
             Q To: Ada Fenwick <ada@ours.example>
             Q Subject: Visit
             Q Please bring the forms.",
        ),
        (
            "forwarded",
            FORWARD,
            "O For your information.
             F From: Ben Harrow <ben@partner.example>
             F Sent: 01 June 2026 09:12
             F To: Ada Fenwick <ada@ours.example>
             F Subject: Visit
             F Can you come?
             F > Never.",
        ),
        (
            "answers within the copy, which nothing tells apart",
            REPLY,
            "O Hello Ben, my answers are in red below.
             q From: Ben Harrow <ben@partner.example>
             q Sent: 01 June 2026 09:12
             q To: Ada Fenwick <ada@ours.example>
             q Subject: Visit
             q Can you come? Yes I can.",
        ),
    ] {
        check(name, context, lines);
    }
}

#[test]
fn gmail() {
    for (name, context, lines) in [
        (
            "top posting",
            REPLY,
            "O See you then.
             Q
             Q On Mon, 1 Jun 2026 at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q
             Q > Can you come?
             Q >
             Q > Ben",
        ),
        (
            "folded over three lines",
            REPLY,
            "O See you then.
             Q On Mon, Jun 1, 2026 at 9:12 AM Benjamin Archibald Harrow
             Q <benjamin.archibald.harrow@partner.example>
             Q wrote:
             Q > Can you come?",
        ),
        (
            "in between",
            REPLY,
            "Q On Mon, 1 Jun 2026 at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q > Can you come?
             O Yes.
             Q > And bring the forms?
             O I shall.
             O
             O Ada",
        ),
        (
            "below",
            REPLY,
            "Q On Mon, 1 Jun 2026 at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q > Can you come?
             O
             O Yes, with pleasure.
             S --
             S Ada Fenwick",
        ),
        (
            "without signs on the lines",
            REPLY,
            "O Yes.
             Q On Mon, 1 Jun 2026 at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q Can you come?
             Q Ben",
        ),
        (
            "German",
            REPLY,
            "O Ja.
             Q Am Mo., 1. Juni 2026 um 09:12 Uhr schrieb Ben Harrow <
             Q ben@partner.example>:
             Q > Kommst du?",
        ),
        (
            "German, from a telephone",
            REPLY,
            "O Ja.
             Q Ben Harrow <ben@partner.example> schrieb am Mo., 1. Juni 2026, 09:12:
             Q > Kommst du?",
        ),
        (
            "French",
            REPLY,
            "O Oui.
             Q Le lun. 1 juin 2026 à 09:12, Ben Harrow <ben@partner.example> a écrit\u{202f}:
             Q > Venez-vous ?",
        ),
        (
            "Spanish",
            REPLY,
            "O Sí.
             Q El lun, 1 jun 2026 a las 9:12, Ben Harrow (<ben@partner.example>) escribió:
             Q > ¿Vienes?",
        ),
        (
            "Dutch",
            REPLY,
            "O Ja.
             Q Op ma 1 jun 2026 om 09:12 schreef Ben Harrow <ben@partner.example>:
             Q > Kom je?",
        ),
        (
            "Welsh",
            REPLY,
            "O Iawn.
             Q Ar Llun, 1 Meh 2026 am 09:12 ysgrifennodd Ben Harrow <ben@partner.example>:
             Q > Pryd?",
        ),
        (
            "an old one",
            REPLY,
            "O Yes.
             Q 2026/6/1 Ben Harrow <ben@partner.example>
             Q > Can you come?",
        ),
        (
            "forwarded",
            FORWARD,
            "O Have a look.
             F ---------- Forwarded message ---------
             F From: Ben Harrow <ben@partner.example>
             F Date: Mon, 1 Jun 2026 at 09:12
             F Subject: Visit
             F To: Ada Fenwick <ada@ours.example>
             F
             F Can you come?
             F -- \n
             F Ben",
        ),
        (
            "forwarded, and the subject written anew",
            NEITHER,
            "O Have a look.
             F ---------- Forwarded message ---------
             F From: Ben Harrow <ben@partner.example>
             F Date: Mon, 1 Jun 2026 at 09:12
             F Subject: Visit
             F To: Ada Fenwick <ada@ours.example>
             F Can you come?",
        ),
    ] {
        check(name, context, lines);
    }
}

#[test]
fn others() {
    for (name, context, lines) in [
        (
            "Apple Mail",
            REPLY,
            "O Yes.
             Q
             Q > On 1 Jun 2026, at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q >
             Q > Can you come?",
        ),
        (
            "Apple Mail, German, forwarded",
            FORWARD,
            "O Zur Kenntnis.
             F Anfang der weitergeleiteten Nachricht:
             F
             F Von: Ben Harrow <ben@partner.example>
             F Betreff: Besuch
             F Datum: 1. Juni 2026 um 09:12:44 MESZ
             F An: Ada Fenwick
             F
             F Kommst du?",
        ),
        (
            "iPhone",
            REPLY,
            "O On my way
             O
             S Sent from my iPhone
             S
             Q > On 1 Jun 2026, at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q >\u{20}
             Q > \u{feff}Can you come?",
        ),
        (
            "iPhone, German",
            REPLY,
            "O Bin unterwegs
             S Von meinem iPhone gesendet
             Q > Am 01.06.2026 um 09:12 schrieb Ben Harrow <ben@partner.example>:
             Q > Kommst du?",
        ),
        (
            "iPhone, French, copied without signs",
            REPLY,
            "O J'arrive
             S Envoyé de mon iPhone
             Q Le 1 juin 2026 à 09:12, Ben Harrow <ben@partner.example> a écrit :
             Q Venez-vous ?",
        ),
        (
            "Thunderbird",
            REPLY,
            "Q On 01/06/2026 09:12, Ben Harrow wrote:
             Q > Can you come?
             O Yes.
             S -- \n
             S Ada",
        ),
        (
            "Thunderbird, German",
            REPLY,
            "Q Am 01.06.26 um 09:12 schrieb Ben Harrow:
             Q > Kommst du?
             O Ja.",
        ),
        (
            "Thunderbird, forwarded",
            FORWARD,
            "O fyi
             F -------- Forwarded Message --------
             F Subject: \tVisit
             F Date: \tMon, 1 Jun 2026 09:12:44 +0100
             F From: \tBen Harrow <ben@partner.example>
             F To: \tAda Fenwick
             F
             F Can you come?",
        ),
        (
            "Thunderbird, French, forwarded",
            FORWARD,
            "O pour info
             F -------- Message transféré --------
             F Sujet : Visite
             F Venez-vous ?",
        ),
        (
            "Yahoo",
            REPLY,
            "O Yes.
             Q On Monday, 1 June 2026 at 09:12:44 BST, Ben Harrow <ben@partner.example> wrote:\u{20}
             Q
             Q Can you come?",
        ),
        (
            "BlackBerry",
            REPLY,
            "O Ok
             S Sent from my BlackBerry 10 smartphone on the Example network.
             Q From: Ben Harrow
             Q Sent: Monday, 1 June 2026 09:12
             Q To: Ada Fenwick
             Q Subject: Visit
             Q Can you come?",
        ),
        (
            "Samsung",
            REPLY,
            "O Ok
             S Sent from my Galaxy
             Q -------- Original message --------
             Q From: Ben Harrow <ben@partner.example>
             Q Date: 01/06/2026 09:12 (GMT+00:00)
             Q To: Ada Fenwick <ada@ours.example>
             Q Subject: Visit
             Q Can you come?",
        ),
        (
            "eM Client, German",
            REPLY,
            "O Ja.
             Q ------ Originalnachricht ------
             Q Von: \"Ben Harrow\" <ben@partner.example>
             Q An: \"Ada Fenwick\" <ada@ours.example>
             Q Gesendet: 01.06.2026 09:12:44
             Q Betreff: Besuch
             Q Kommst du?",
        ),
        (
            "broken by a program that does not know the signs",
            REPLY,
            "Q On 1 Jun 2026 09:12, \"Ben\" <ben@partner.example> wrote:
             Q > We should like to know when you could come to us, with the forms and the
             q keys.
             Q > Where did we leave them? I think that it was in the office, or in the hall.
             O in the hall.
             Q > Thank you.",
        ),
        (
            "Danish, the date first",
            REPLY,
            "O Ja.
             Q 1. juni 2026 kl. 09.12 skrev Ben Harrow <ben@partner.example>:
             Q > Kommer du?",
        ),
        (
            "with a name alone in front",
            REPLY,
            "O Yes.
             q Ben Harrow wrote:
             Q > Can you come?",
        ),
        (
            "Proton Mail",
            REPLY,
            "O Yes.
             S Sent with Proton Mail secure email.
             Q On Monday, 1 June 2026 at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q
             Q > Can you come?",
        ),
    ] {
        check(name, context, lines);
    }
}

#[test]
fn signatures_and_notices() {
    for (name, context, lines) in [
        (
            "a name and what stands below it",
            NEITHER,
            "O Please find it attached.
             O
             O Kind regards,
             O
             s Ada Fenwick | Head of Care
             s 01632 960001 | www.ours.example",
        ),
        (
            "in two languages",
            NEITHER,
            "O I shall come.
             O Cofion gorau / Best wishes
             s Ada
             s Rheolwr / Manager",
        ),
        (
            "a postscript is no signature",
            NEITHER,
            "O Please find it attached.
             O Kind regards
             O Ada
             O PS You forgot the keys, as you always do, don't you?",
        ),
        (
            "a notice below",
            NEITHER,
            "O Please find it attached.
             S -- \n
             S Ada
             N
             N This e-mail and any attachments are confidential and intended solely for the addressee.
             N If you have received it in error, please notify the sender and delete it.",
        ),
        (
            "a notice in parts, above a quotation",
            REPLY,
            "O Agreed.
             N This message is confidential. It is for the intended recipient alone; any copying or
             N disclosure is prohibited.
             N
             n Our trustees thank you.
             Q
             Q On Mon, 1 Jun 2026 at 09:12, Ben Harrow <ben@partner.example> wrote:
             Q > Can you come?",
        ),
        (
            "a notice with a heading",
            NEITHER,
            "O Agreed.
             O
             N *Disclaimer*
             N
             N This e-mail is confidential and for the addressee alone. Please delete it if it came to you in error.",
        ),
        (
            "a German notice",
            NEITHER,
            "O Anbei der Bericht.
             O
             N Diese E-Mail ist vertraulich und nur für den Empfänger bestimmt. Wenn Sie sie irrtümlich
             N erhalten haben, ist jede Verwendung nicht gestattet: this email is confidential, please delete it.",
        ),
        (
            "words about confidence are the author's own",
            NEITHER,
            "O The report is confidential, so keep it in the office.
             O
             O Please delete the old one.",
        ),
        (
            "of a list, below all",
            REPLY,
            "O I agree.
             O
             s -Ada
             Q On 1 Jun 2026 09:12, Ben wrote:
             Q > So be it.
             S _______________________________________________
             S members mailing list
             S members@lists.partner.example",
        ),
        ("a line that looks like one", NEITHER, "O Sent from my desk, as you see, by hand."),
        (
            "a long one is not sure",
            NEITHER,
            "O Hello.
             s -- \n
             s 1\ns 2\ns 3\ns 4\ns 5\ns 6\ns 7\ns 8\ns 9\ns 10\ns 11\ns 12\ns 13",
        ),
    ] {
        check(name, context, lines);
    }
}

#[test]
fn the_authors_own() {
    for (name, context, lines) in [
        ("a list", REPLY, "O - one\nO - two\nO -three"),
        ("a sentence with the words", REPLY, "O On Monday I wrote:\nO come soon."),
        ("told with its day", REPLY, "O On 1 June 2026 you wrote:\nO we shall come, and you never did."),
        ("told with its time", REPLY, "O On 1 June 2026 at 09:12 you wrote:\nO we shall come."),
        ("a heading", REPLY, "O From: the office\nO Hello"),
        ("a journey", REPLY, "O From: Leeds\nO To: York\nO Date: 1 June 2026\nO Bring a coat."),
        ("a rule", REPLY, "O one\nO -----\nO two\nO __________\nO three\nO\nO four"),
        (
            "a head in a message that answers nothing",
            NEITHER,
            "q From: Ben\nq Sent: 1 June\nq To: Ada\nq Subject: x\nq you fool",
        ),
        ("marked lines in a message that answers nothing", NEITHER, "O Hello\nq > you fool\nO bye"),
        ("marked lines in one that does", REPLY, "O Hello\nQ > you fool\nO bye"),
        (
            "pasted with the line in front of it",
            NEITHER,
            "O See here:\nQ On 1 February 2026 a client wrote:\nQ > you fool\nO What now?",
        ),
        ("a smiling arrow", NEITHER, "O a -> b\nO 3 > 2"),
    ] {
        check(name, context, lines);
    }
}
