//! AUTH (RFC 4954): PLAIN (RFC 4616) and LOGIN, under TLS alone.

use super::{
    connection::Said,
    logins::Login,
    session::{End, Session},
    settings::Auth,
};
use crate::{
    intake::{Corridor, Credentials},
    mail::{
        Certainty, User,
        wire::{Mechanism, Reply},
    },
    sensitive::Sensitive,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::Arc;
use tokio::time::Instant;

/// What `AUTH LOGIN` asks for; clients look at these very words.
const USER: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";

/// A dialogue that came to nothing: the reply, and whether it is a fault of the client's.
struct Broken(Reply);

impl<C: Corridor> Session<C> {
    pub(super) async fn auth(&mut self, mechanism: Mechanism, initial: Option<Sensitive<String>>) -> Result<(), End> {
        if let Some(reply) = self.against_auth() {
            return self.fault(reply).await;
        }
        // What follows is the client's answer to a question that it has not seen yet.
        if !self.connection.waiting().is_empty() {
            return Err(End::early());
        }
        let said = match mechanism {
            Mechanism::Plain => self.plain(initial).await?,
            Mechanism::Login => self.login(initial).await?,
            Mechanism::Other => Err(Broken(Reply::new(504, (5, 5, 4), "Mechanism not supported"))),
        };
        match said {
            Ok(credentials) => self.log_in(credentials).await,
            Err(Broken(reply)) => self.fault(reply).await,
        }
    }

    fn against_auth(&self) -> Option<Reply> {
        let settings = &self.active.settings;
        if settings.auth == Auth::None || self.active.tls.is_none() {
            return Some(Reply::new(502, (5, 5, 1), "Command not implemented"));
        }
        if self.client.tls.is_none() {
            return Some(Reply::new(538, (5, 7, 11), "Begin TLS first: passwords are not taken in clear"));
        }
        if self.client.user.is_some() {
            return Some(Reply::new(503, (5, 5, 1), "You are logged in already"));
        }
        let greeted = self.name.as_ref().is_some_and(|(_, extended)| *extended);
        (!greeted).then(|| Reply::new(503, (5, 5, 1), "Send EHLO first"))
    }

    async fn plain(&mut self, initial: Option<Sensitive<String>>) -> Result<Result<Credentials, Broken>, End> {
        let message = match initial {
            Some(initial) => Ok(initial),
            None => self.ask("").await?,
        };
        Ok(message.and_then(|message| decoded(&message)).and_then(|message| {
            let mut fields = message.expose().split('\0');
            match (fields.next(), fields.next(), fields.next(), fields.next()) {
                // Nobody acts for another one here.
                (Some(acts_as), Some(user), Some(password), None) if acts_as.is_empty() || acts_as == user => {
                    Ok(Credentials { user: user.to_owned().into(), password: password.to_owned().into() })
                }
                _ => Err(malformed()),
            }
        }))
    }

    async fn login(&mut self, initial: Option<Sensitive<String>>) -> Result<Result<Credentials, Broken>, End> {
        let user = match initial {
            Some(initial) => Ok(initial),
            None => self.ask(USER).await?,
        };
        let user = match user.and_then(|user| decoded(&user)) {
            Ok(user) => user,
            Err(broken) => return Ok(Err(broken)),
        };
        let password = self.ask(PASSWORD).await?.and_then(|password| decoded(&password));
        Ok(password.map(|password| Credentials { user, password }))
    }

    /// One question, and the line that answers it.
    async fn ask(&mut self, question: &str) -> Result<Result<Sensitive<String>, Broken>, End> {
        self.connection.output().extend_from_slice(format!("334 {question}\r\n").as_bytes());
        self.connection.flush().await.map_err(|_| End::Gone)?;
        let asked = Instant::now();
        let said = loop {
            if let Some(said) = self.connection.next_said() {
                break said;
            }
            self.wait(asked).await?;
        };
        match said {
            Said::Malformed => Err(End::line_ends()),
            Said::TooLong => Ok(Err(Broken(Reply::new(500, (5, 5, 6), "Line too long")))),
            Said::Text(text) if text.expose() == "*" => Ok(Err(Broken(Reply::new(501, (5, 7, 0), "Login given up")))),
            Said::Text(text) => Ok(Ok(text)),
        }
    }

    async fn log_in(&mut self, credentials: Credentials) -> Result<(), End> {
        let settings = &self.active.settings;
        let logins = &self.door.logins;
        let corridor = &*self.door.passage.corridor;
        let checked = logins.check(corridor, settings.auth, &settings.limits, self.client.address, &credentials).await;
        let client = self.client.address;
        match checked {
            Login::Good => {
                tracing::info!(%client, "a client logged in");
                metrics::counter!("outgate_smtp_logins_total").increment(1);
                // Folded: one person is one account, however it is spelled.
                let name = credentials.user.expose().to_lowercase();
                self.client.user = Some(User { name: name.into(), certainty: Certainty::Authenticated });
                self.client.identity = (settings.auth == Auth::NextHop).then(|| Arc::new(credentials));
                self.client.look_up(&self.active.settings);
                self.connection.reply(&Reply::new(235, (2, 7, 0), "Logged in"));
                Ok(())
            }
            Login::Refused(reply) => {
                tracing::info!(%client, code = reply.code(), "a login was refused");
                self.door.refused("login");
                self.fault(reply).await
            }
            Login::Barred => Err(End::hang_up(421, (4, 7, 0), "Too many failed logins, try again later", "logins")),
        }
    }
}

/// `=` stands for an answer without any text (RFC 4954 4).
fn decoded(answer: &Sensitive<String>) -> Result<Sensitive<String>, Broken> {
    let text = answer.expose();
    let bytes = if text == "=" { Ok(Vec::new()) } else { STANDARD.decode(text) };
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.contains(['\r', '\n']));
    text.map(Sensitive::new).ok_or_else(malformed)
}

fn malformed() -> Broken {
    Broken(Reply::new(501, (5, 5, 2), "The answer is malformed"))
}
