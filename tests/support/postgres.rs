//! A PostgreSQL server of the test's own: a temporary cluster on a free loopback port.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs until dropped.
pub struct Server {
    postmaster: Child,
    programs: PathBuf,
    port: u16,
    // Last: the cluster is removed after the server has stopped.
    _cluster: TempDir,
}

impl Server {
    /// Starts a server. Needs the packages `postgresql` and `postgresql-*-postgis-3`, which
    /// `make test` installs.
    pub fn start() -> Server {
        let programs = newest_programs();
        let cluster = tempfile::Builder::new()
            .prefix("onemap-postgres-")
            .tempdir()
            .expect("a temporary directory");
        let account = Account::for_server();
        account.own(cluster.path());
        let data = cluster.path().join("data");
        let made = account
            .command(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .current_dir(cluster.path())
            .stdout(Stdio::null())
            .status()
            .expect("initdb starts");
        assert!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let postmaster = account
            .command(&programs.join("postgres"))
            .args([
                "-c",
                "fsync=off",
                "-c",
                "listen_addresses=127.0.0.1",
                "-p",
                &port.to_string(),
                "-k",
            ])
            .arg(cluster.path())
            .arg("-D")
            .arg(&data)
            .current_dir(cluster.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres starts");
        let server = Server {
            postmaster,
            programs,
            port,
            _cluster: cluster,
        };
        server.await_readiness();
        server
    }

    /// What `--source` takes.
    pub fn connection(&self) -> String {
        format!(
            "PG:host=127.0.0.1 port={} dbname=postgres user=postgres",
            self.port
        )
    }

    /// Runs statements, which must succeed.
    pub fn sql(&self, statements: &str) {
        let done = Command::new(self.programs.join("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "postgres",
                "-q",
            ])
            .args(["-v", "ON_ERROR_STOP=1", "-c", statements, "postgres"])
            .output()
            .expect("psql starts");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    fn await_readiness(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .expect("pg_isready starts");
            if ready.success() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "PostgreSQL did not start within a minute"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        // SAFETY: the process is our child and not yet waited for, so the id is still its own.
        unsafe { libc::kill(self.postmaster.id() as libc::pid_t, libc::SIGINT) };
        let _ = self.postmaster.wait();
    }
}

/// The account to run under: PostgreSQL refuses root.
struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    fn for_server() -> Account {
        // SAFETY: no preconditions.
        let is_root = unsafe { libc::geteuid() } == 0;
        let id = |flag: &str| {
            let output = Command::new("id")
                .args([flag, "postgres"])
                .output()
                .expect("id runs");
            String::from_utf8_lossy(&output.stdout)
                .trim()
                .parse()
                .expect("the package made an account named postgres")
        };
        Account {
            ids: is_root.then(|| (id("-u"), id("-g"))),
        }
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.ids {
            std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may give away");
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }
}

fn newest_programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_string_lossy().parse().ok()?;
            let programs = entry.path().join("bin");
            programs
                .join("initdb")
                .exists()
                .then_some((version, programs))
        })
        .collect();
    found.sort();
    found
        .pop()
        .expect("the package postgresql is installed; scripts/install-deps.sh test does it")
        .1
}
