//! What most commands begin with: find the configuration, open the keys and the store.

use super::{Failure, arguments::Arguments};
use crate::{
    config::{self, Settings, key_file},
    delivery::notice::Notices,
    gateway::notices,
    mail::dkim::Dkim,
    store::Store,
};
use std::{
    future::Future,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where the configuration is looked for without `--config`, in this order.
const PLACES: [&str; 2] = ["config/outgate.toml", "/etc/outgate/outgate.toml"];

/// The configuration file to read.
pub fn file(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(file) = &arguments.config {
        return Ok(file.clone());
    }
    PLACES.iter().map(PathBuf::from).find(|place| place.exists()).ok_or_else(|| {
        Failure::said(format!(
            "no configuration at {}; name one with --config, or write one with `outgate init`",
            PLACES.join(" or ")
        ))
    })
}

/// Runs a command's asynchronous work.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::said(format!("no runtime: {error}")))?;
    runtime.block_on(work)
}

/// The store of the configured service. The key must be there already: a command never makes one.
pub async fn store(arguments: &Arguments) -> Result<Store, Failure> {
    let settings = settings(arguments)?;
    as_its_owner(&settings.data_dir)?;
    let keys = key_file::open(&settings.store.key_file).map_err(|error| Failure::said(error.to_string()))?;
    Store::open(&settings.data_dir, &keys).await.map_err(|error| Failure::said(error.to_string()))
}

/// Files that another user (an administrator as root, say) made in the data folder could not be read by the service: a
/// release would lie there for ever.
pub(super) fn as_its_owner(data_dir: &Path) -> Result<(), Failure> {
    let Ok(metadata) = std::fs::metadata(data_dir) else {
        return Err(Failure::said(format!("there is no data folder at {}; has the service run?", data_dir.display())));
    };
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    Err(Failure::said(format!(
        "{} belongs to user {owner}, and this is user {user}; run the command as the service's user: sudo -u '#{owner}' \
         outgate …",
        data_dir.display()
    )))
}

/// The writer of the service's notices. Own domains are those of the policies too; a mistake in a rule keeps no
/// reviewer from deciding, unless it hides whom we may write to.
pub fn writer(arguments: &Arguments) -> Result<(Notices, Arc<Dkim>), Failure> {
    let settings = settings(arguments)?;
    let own_domains = match config::load_unproven(&settings.file) {
        Ok(loaded) => loaded.own_domains().to_vec(),
        Err(mistakes) if settings.own_domains.is_empty() => return Err(Failure::Configuration(mistakes)),
        Err(_) => settings.own_domains.clone(),
    };
    Ok((notices(&settings, &own_domains).map_err(Failure::said)?, settings.dkim))
}

/// The settings alone, with all that is wrong with them.
pub fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let (settings, _) = config::read_settings(&file(arguments)?).map_err(Failure::Configuration)?;
    Ok(settings)
}
