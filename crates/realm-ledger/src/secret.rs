//! The ledger secret: the file `secret` in the keys directory, 32 random bytes as base64, which no backup of the
//! data may hold.
//!
//! It is made with a new data directory, and never again: a directory that exists goes on with the
//! secret it was begun with, or not at all. `REALM_LEDGER_SECRET` takes the place of the file.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger_ingest::sign::{KeysError, SigningKeys};
use ledger_record::proof::line::LedgerSecret;
use ledger_store::{DataDir, create_file};
use tracing::{info, warn};

use crate::Failure;
use crate::config::Config;

const SECRET_FILE: &str = "secret";

/// Opens the data directory for writing, with its secret. A new one gets a new secret and a signing key; what the
/// operator has to know of them is logged and returned.
pub(crate) fn open(config: &Config) -> Result<(DataDir, Vec<String>), Failure> {
    let mut made = Vec::new();
    let (secret, made_secret) = match config.evidence.secret.clone() {
        Some(secret) => (secret, None),
        None => secret_of(config)?,
    };
    made.extend(made_secret.map(|path| {
        format!(
            "made the ledger secret {}: keep a copy apart from the data, without it the ledger takes nothing \
             more; every replica needs the same",
            path.display()
        )
    }));
    warn_if_exposed(&config.keys_dir().join(SECRET_FILE));
    if !DataDir::exists(&config.data_dir)? {
        made.extend(first_key(config)?);
    }
    for made in &made {
        info!("{made}");
    }
    let secret = of_directory(config, secret)?;
    Ok((DataDir::open(&config.data_dir, config.store.clone(), secret)?, made))
}

/// Opens a data directory that is there for reading, and the secret that it was begun with.
pub(crate) fn open_existing(config: &Config) -> Result<(DataDir, LedgerSecret), Failure> {
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    let secret = of_directory(config, as_kept(config)?)?;
    data.check_secret(&secret)?;
    Ok((data, secret))
}

/// The secret as it is kept, which is that of the directory unless it was refilled.
fn as_kept(config: &Config) -> Result<LedgerSecret, Failure> {
    match config.evidence.secret.clone() {
        Some(secret) => Ok(secret),
        None => Ok(secret_of(config)?.0),
    }
}

/// The secret that a refilled directory is to have: one that is there already, else that of the old directory.
pub(crate) fn inherited(config: &Config, old: &Config) -> Result<LedgerSecret, Failure> {
    match read(&config.keys_dir().join(SECRET_FILE))? {
        Some(secret) if config.evidence.secret.is_none() => Ok(secret),
        _ => as_kept(old),
    }
}

/// A refilled directory has a secret of its own, which follows from the one that is kept.
fn of_directory(config: &Config, secret: LedgerSecret) -> Result<LedgerSecret, Failure> {
    Ok(match DataDir::renamed(&config.data_dir)? {
        Some(renamed) => secret.of_successor(&renamed.to),
        None => secret,
    })
}

/// Gives a new data directory the secret and the keys of another one, as far as it has none.
pub(crate) fn copy_keys(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(to).map_err(io_error(to))?;
    for file in [from.join(SECRET_FILE), SigningKeys::new(from).path().to_owned()] {
        let Some(copy) = file.file_name().map(|name| to.join(name)).filter(|copy| !copy.exists()) else {
            continue;
        };
        if file.exists() {
            // Its mode is copied along.
            fs::copy(&file, &copy).map_err(io_error(&copy))?;
        }
    }
    Ok(())
}

/// Makes the signing key of a new ledger. A ledger that is not new never gets one by itself: others know its
/// checkpoints by the key that it had.
fn first_key(config: &Config) -> Result<Option<String>, Failure> {
    let keys = SigningKeys::new(&config.keys_dir());
    match keys.generate() {
        Ok(_) => Ok(Some(format!(
            "made the signing key {}: keep a copy apart from the data; `keys show` prints what partners check with",
            keys.path().display()
        ))),
        Err(KeysError::Exists { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Warns of a secret that others on this machine may read. It is used all the same: how secrets are mounted is often
/// not the operator's choice.
pub(crate) fn warn_if_exposed(path: &Path) {
    if is_exposed(path) {
        warn!(path = %path.display(), "group or others may access this secret; `chmod 600` it, or mount it so");
    }
}

fn is_exposed(path: &Path) -> bool {
    // A missing file exposes nothing.
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

fn secret_of(config: &Config) -> Result<(LedgerSecret, Option<PathBuf>), Failure> {
    let directory = config.keys_dir();
    let path = directory.join(SECRET_FILE);
    if let Some(secret) = read(&path)? {
        return Ok((secret, None));
    }
    if DataDir::exists(&config.data_dir)? {
        let (data_dir, file) = (config.data_dir.display(), path.display());
        let missing = format!("the ledger secret of {data_dir} is not in {file}");
        return Err(Failure::new(missing).hint(
            "put the file back from where it was kept, or give it as REALM_LEDGER_SECRET; if it is lost, use a \
             new data directory and fill it again",
        ));
    }
    make(&directory, &path)?;
    let secret = read(&path)?.ok_or_else(|| io_error(&path)(io::ErrorKind::NotFound.into()))?;
    Ok((secret, Some(path)))
}

fn read(path: &Path) -> Result<Option<LedgerSecret>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => match LedgerSecret::parse(&text) {
            Some(secret) => Ok(Some(secret)),
            None => Err(Failure::new(format!("{} is not 32 bytes as base64", path.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path)(error)),
    }
}

/// Whole or not at all, and never in place of another.
fn make(directory: &Path, path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(io_error(directory))?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("the system gives no random numbers: {error}")))?;
    match create_file(path, 0o600, |out| writeln!(out, "{}", STANDARD.encode(bytes))) {
        // Another process was first: its secret counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(io_error(path)),
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::caused(format!("{} could not be read or written", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_ledger_gets_a_secret_of_its_own_and_an_old_one_goes_on_with_its_own_only() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().join("data"), ..Config::default() };
        let secret = dir.path().join("data.keys/secret");
        let (_, made) = open(&config).unwrap();
        assert!(made[0].contains("data.keys/secret") && made.len() == 2, "{made:?}");
        assert_eq!((mode(&secret), mode(secret.parent().unwrap())), (0o600, 0o700));
        assert_eq!(open(&config).unwrap().1, [""; 0]);

        let kept = fs::read_to_string(&secret).unwrap();
        fs::remove_file(&secret).unwrap();
        let reported = |failure: &Failure| {
            let mut reported = Vec::new();
            failure.report(&mut reported, false);
            String::from_utf8(reported).unwrap()
        };
        let missing = reported(&open(&config).unwrap_err());
        assert!(missing.contains("data.keys/secret") && missing.contains("REALM_LEDGER_SECRET"), "{missing}");
        assert!(!secret.exists());

        let mut given = config.clone();
        given.evidence.secret = LedgerSecret::parse(&kept);
        assert!(open(&given).is_ok());
        given.evidence.secret = Some(LedgerSecret::from_bytes([0; 32]));
        let other = reported(&open(&given).unwrap_err());
        assert!(other.contains("is not the one"), "{other}");

        fs::write(&secret, "c2hvcnQ=\n").unwrap();
        let malformed = reported(&open(&config).unwrap_err());
        assert!(malformed.contains("is not 32 bytes as base64"), "{malformed}");
    }

    #[test]
    fn a_secret_that_others_may_read_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, expected) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_exposed(file.path()), expected, "{mode:o}");
        }
        assert!(!is_exposed(Path::new("/nowhere")));
    }

    #[test]
    fn keys_lie_where_they_are_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
        config.evidence.keys_dir = Some(dir.path().join("a/b"));
        open(&config).unwrap();
        assert!(dir.path().join("a/b/secret").exists());
        assert!(!dir.path().join("data.keys").exists());
    }
}
