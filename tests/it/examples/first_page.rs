//! "One binary, one directory" in the README: its commands as they stand, one block after the other, and what they print.
//!
//! Its ports are replaced by free ones, as others may have them.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ledger_tests::process::Process;
use ledger_tests::server::program;
use ledger_tests::tools::printed;
use ledger_tests::{scratch, wait};

use super::{Block, blocks, is_as_shown};
use crate::tidy::root;

const SECTION: &str = "\n## One binary, one directory\n";

/// What the README says, and where it is here.
fn ports() -> [(&'static str, u16); 2] {
    ["127.0.0.1:8080", "127.0.0.1:8090"].map(|usual| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        (usual, free.local_addr().unwrap().port())
    })
}

fn with_ports(text: &str, ports: &[(&str, u16)]) -> String {
    ports
        .iter()
        .fold(text.to_owned(), |text, (usual, port)| text.replace(usual, &format!("127.0.0.1:{port}")))
}

/// A directory with the program, of which what runs in the background ends with its shell.
fn dies_with_its_shell(scratch: &Path) -> PathBuf {
    let bin = scratch.join("bin");
    fs::create_dir(&bin).unwrap();
    let name = bin.join("realm-ledger");
    fs::write(&name, format!("#!/bin/sh\nexec setpriv --pdeathsig KILL -- {} \"$@\"\n", program().display()))
        .unwrap();
    fs::set_permissions(&name, Permissions::from_mode(0o755)).unwrap();
    bin
}

#[test]
fn first_page_takes_a_hook_and_answers() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once(SECTION).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = blocks(section);
    let [start, hooks, question] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let (scratch, ports) = (scratch::directory(), ports());
    let mut path = vec![dies_with_its_shell(scratch.path())];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let path = std::env::join_paths(path).unwrap();
    let [listen, hooks_listen] = [ports[0].1, ports[1].1].map(|port| format!("127.0.0.1:{port}"));
    let settings = |command: &mut Command| {
        command.current_dir(scratch.path()).env("PATH", &path);
        command.env("REALM_LEDGER_HTTP__LISTEN", &listen).env("REALM_LEDGER_GATEWAY__LISTEN", &hooks_listen);
        command.env("REALM_LEDGER_HTTP__ADMIN_LISTEN", "127.0.0.1:0");
    };
    let script = |block: &Block<'_>| format!("set -euo pipefail\n{}", with_ports(&block.code, &ports));
    let _shell = Process::start("bash", |command| {
        settings(command);
        command.args(["-c", &format!("{}\nwait", script(start))]).stdout(Stdio::null()).stderr(Stdio::null());
    });
    let run = |block: &Block<'_>| -> Output {
        let mut command = Command::new("bash");
        settings(&mut command);
        command.args(["-c", &script(block)]).output().unwrap()
    };
    wait::until("hooks are taken", || std::net::TcpStream::connect(&hooks_listen).is_ok());
    let taken = run(hooks);
    assert!(taken.status.success(), "{}", printed(&taken));
    let shown = question.shown.as_deref().unwrap();
    wait::for_value(|| {
        let answer = run(question);
        let is_right =
            answer.status.success() && is_as_shown(&String::from_utf8_lossy(&answer.stdout), shown);
        if is_right { Ok(()) } else { Err(printed(&answer)) }
    });
}
