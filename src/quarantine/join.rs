//! A later transaction of a message that waits already: its recipients come into the same case, for one decision.

use super::{Case, FacedGround, NewCase, admit};
use crate::{mail::ForwardPath, policy::planned};

impl Case {
    /// Whether `later` brings this case's message to somebody to whom the case does not go yet. With the same recipients
    /// alone it is the message sent again, and a case of its own.
    pub fn is_joined_by(&self, later: &NewCase) -> bool {
        self.face.as_ref().is_some_and(|face| face.content == later.face.content) && !self.newcomers(later).is_empty()
    }

    /// Recipients of `later` who are none of this case.
    pub fn newcomers<'l>(&self, later: &'l NewCase) -> Vec<&'l ForwardPath> {
        let known = self.face.iter().flat_map(|face| &face.envelope.recipients);
        let known: Vec<String> = known.map(|path| path.address.folded()).collect();
        later.face.envelope.recipients.iter().filter(|path| !known.contains(&path.address.folded())).collect()
    }

    /// The case with the recipients, the grounds and the edits of `later` in it: as if all had come in one transaction.
    pub fn joined(mut self, later: &NewCase) -> Self {
        let newcomers: Vec<ForwardPath> = self.newcomers(later).into_iter().cloned().collect();
        let Some(face) = &mut self.face else { return self };
        face.envelope.recipients.extend(newcomers);
        let grounds = later.face.grounds.iter().filter(|ground| !has(&face.grounds, &ground.rule)).cloned();
        let grounds: Vec<FacedGround> = grounds.collect();
        face.grounds.extend(grounds);
        face.edits = planned::together(face.edits.iter().chain(&later.face.edits).cloned().collect());
        face.tell_sender &= later.face.tell_sender;
        if later.head.rules.is_empty() {
            // Nothing holds it but that the rest waits.
            return self;
        }
        self.head.category = admit::first(self.head.category, later.head.category);
        for rule in &later.head.rules {
            if !self.head.rules.contains(rule) {
                self.head.rules.push(rule.clone());
            }
        }
        self.head.expires = self.head.expires.min(later.head.expires);
        self
    }
}

fn has(grounds: &[FacedGround], rule: &str) -> bool {
    grounds.iter().any(|ground| ground.rule == rule)
}
