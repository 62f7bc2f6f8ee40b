//! The notices that no policy has of its own: `notices/NAME.txt` and `notices/NAME.html`. One of them is enough: the other is
//! derived.

use super::folders::{self, Folder};
use crate::{
    diagnostic::{Diagnostics, Source},
    policy::NoticeText,
};
use std::{collections::BTreeMap, path::Path};

pub(super) fn read(home: &Path, diagnostics: &mut Diagnostics) -> BTreeMap<String, NoticeText> {
    let mut forms: BTreeMap<String, [Option<Source>; 2]> = BTreeMap::new();
    for file in folders::read(home, Folder::Notices, diagnostics).winning() {
        let Some((name, ending)) = file.name.rsplit_once('.') else { continue };
        forms.entry(name.to_string()).or_default()[usize::from(ending == "html")] = Some(file.source);
    }
    let notices = forms.into_iter();
    notices
        .map(|(name, [plain, html])| (name, NoticeText::of_files(plain.as_ref(), html.as_ref(), diagnostics)))
        .collect()
}
