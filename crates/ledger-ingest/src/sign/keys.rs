//! The signing keys: one line each in a file beside the ledger secret, readable by the owner only.
//!
//! All of them sign every checkpoint. That is how a key is changed: add one, wait until everybody who verifies
//! knows it, retire the other. A key signs for every log; the verifier key of a log has its origin as its name.
//!
//! Nothing replaces a key by itself. A ledger whose keys are lost cannot go on under its origin, since nobody
//! could tell its checkpoints from a stranger's; it takes new keys and another `evidence.origin`.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ledger_record::proof::note::{Checkpoint, NoteKeyError, SignerKey, VerifierKey};
use ledger_store::{create_file, replace_file};

use crate::sign::{KeptError, KeptNote};

const FILE: &str = "signing-keys";

/// The name under which keys are kept.
const NAME: &str = "realm-ledger";

/// The keys of a ledger.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    path: PathBuf,
}

/// The keys cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("{path} cannot be used", path = path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A line is no key.
    #[error("line {line} of {path} is no signing key: {source}", path = path.display())]
    NotAKey {
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: NoteKeyError,
    },
    /// There is one already.
    #[error("{path} has a key already; another one beside it is made with --add", path = path.display())]
    Exists { path: PathBuf },
    /// No such key.
    #[error("{path} has no key {id}; `keys show` lists them", path = path.display())]
    Unknown {
        path: PathBuf,
        /// The id that was asked for.
        id: String,
    },
    /// It would leave none.
    #[error("{id} is the only key; add another one first")]
    Last {
        /// The id that was asked for.
        id: String,
    },
    /// Nobody could tell the log's last checkpoint from a stranger's.
    #[error(
        "{path} was signed by {id} and by no key that would be left; a running `serve` that was started since the \
         other key was added signs it with both, and so does an `import` that is repeated. If there is no such log \
         any more, delete the file",
        path = path.display()
    )]
    SignedAlone {
        /// The note.
        path: PathBuf,
        /// The id that was asked for.
        id: String,
    },
    /// The notes beside the keys.
    #[error(transparent)]
    KeptNote(#[from] KeptError),
    /// The system gives no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The id of a key, as `keys show` prints it.
pub fn key_id(key: &SignerKey) -> String {
    format!("{:08x}", key.verifier().id())
}

/// Whether one of the keys signed the note, each by the name of its log.
fn is_signed(note: &str, keys: &[&SignerKey]) -> bool {
    let origin = note.split('\n').next().unwrap_or_default();
    let keys = keys.iter().filter_map(|key| Some(key.renamed(origin).ok()?.verifier()));
    Checkpoint::open(note, &keys.collect::<Vec<VerifierKey>>()).is_ok()
}

impl SigningKeys {
    /// The keys in this directory.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(FILE) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys; none without a file.
    pub fn read(&self) -> Result<Vec<SignerKey>, KeysError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io(source)),
        };
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let key = |(line, text): (usize, &str)| {
            let not_a_key = |source| KeysError::NotAKey { path: self.path.clone(), line, source };
            SignerKey::parse(text.trim()).map_err(not_a_key)
        };
        lines.map(key).collect()
    }

    /// Makes the first key.
    pub fn generate(&self) -> Result<SignerKey, KeysError> {
        let keys = self.read()?;
        if !keys.is_empty() {
            return Err(KeysError::Exists { path: self.path.clone() });
        }
        let key = self.made()?;
        let text = self.text_of(&[&key])?;
        match create_file(&self.path, 0o600, |out| out.write_all(text.as_bytes())) {
            Ok(()) => Ok(key),
            // Another process was first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeysError::Exists { path: self.path.clone() })
            }
            Err(source) => Err(self.io(source)),
        }
    }

    /// Makes another key, which signs beside those that are there.
    pub fn add(&self) -> Result<SignerKey, KeysError> {
        let (keys, key) = (self.read()?, self.made()?);
        self.replace(&keys.iter().chain([&key]).collect::<Vec<_>>())?;
        Ok(key)
    }

    /// Takes a key away, for good. Refused as long as a last checkpoint rests on it alone.
    pub fn retire(&self, id: &str) -> Result<(), KeysError> {
        let keys = self.read()?;
        let (gone, left): (Vec<&SignerKey>, Vec<&SignerKey>) = keys.iter().partition(|key| key_id(key) == id);
        if gone.is_empty() {
            return Err(KeysError::Unknown { path: self.path.clone(), id: id.to_owned() });
        }
        if left.is_empty() {
            return Err(KeysError::Last { id: id.to_owned() });
        }
        for kept in KeptNote::all(self.directory())? {
            let Some(note) = kept.read()? else { continue };
            if is_signed(&note, &gone) && !is_signed(&note, &left) {
                return Err(KeysError::SignedAlone { path: kept.path().to_owned(), id: id.to_owned() });
            }
        }
        self.replace(&left)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn made(&self) -> Result<SignerKey, KeysError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeysError::Random)?;
        let not_a_key = |source| KeysError::NotAKey { path: self.path.clone(), line: 0, source };
        SignerKey::from_seed(NAME, seed).map_err(not_a_key)
    }

    /// Makes the directory; what the file is to hold.
    fn text_of(&self, keys: &[&SignerKey]) -> Result<String, KeysError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(self.directory()).map_err(|source| self.io(source))?;
        Ok(keys.iter().map(|key| key.to_secret_text() + "\n").collect())
    }

    fn replace(&self, keys: &[&SignerKey]) -> Result<(), KeysError> {
        let text = self.text_of(keys)?;
        let replaced = replace_file(&self.path, 0o600, |out| out.write_all(text.as_bytes()));
        replaced.map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> KeysError {
        KeysError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_added_and_retired_and_nobody_else_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let keys = SigningKeys::new(&directory.path().join("keys"));
        assert!(keys.read().unwrap().is_empty());
        let first = keys.generate().unwrap();
        assert!(matches!(keys.generate(), Err(KeysError::Exists { .. })));
        assert!(matches!(keys.retire(&key_id(&first)), Err(KeysError::Last { .. })));
        let second = keys.add().unwrap();
        let ids = |keys: &SigningKeys| keys.read().unwrap().iter().map(key_id).collect::<Vec<_>>();
        assert_eq!(ids(&keys), [key_id(&first), key_id(&second)]);
        assert!(matches!(keys.retire("00000000"), Err(KeysError::Unknown { .. })));
        keys.retire(&key_id(&first)).unwrap();
        assert_eq!(ids(&keys), [key_id(&second)]);
        let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((rights(keys.path()), rights(keys.path().parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_key_on_which_a_last_checkpoint_rests_alone_is_not_retired() {
        let directory = tempfile::tempdir().unwrap();
        let keys = SigningKeys::new(directory.path());
        let (old, new) = (keys.generate().unwrap(), keys.add().unwrap());
        let root = ledger_record::proof::tree::empty_root();
        let checkpoint = Checkpoint { origin: "ledger/0".to_owned(), size: 9, root };
        let [old_signer, new_signer] = [&old, &new].map(|key| key.renamed("ledger/0").unwrap());
        let kept = KeptNote::new(directory.path(), "ledger/0");
        kept.replace(&checkpoint.sign(&[&old_signer])).unwrap();
        let refused = keys.retire(&key_id(&old));
        assert!(
            matches!(&refused, Err(KeysError::SignedAlone { path, .. }) if path == kept.path()),
            "{refused:?}"
        );
        kept.replace(&checkpoint.sign(&[&old_signer, &new_signer])).unwrap();
        keys.retire(&key_id(&old)).unwrap();
    }

    #[test]
    fn a_line_that_is_no_key_is_told_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let keys = SigningKeys::new(directory.path());
        fs::write(keys.path(), "\nPRIVATE+KEY+realm-ledger+00000000+AAAA\n").unwrap();
        for result in [keys.generate(), keys.add()] {
            assert!(matches!(result, Err(KeysError::NotAKey { line: 2, .. })), "{result:?}");
        }
    }
}
