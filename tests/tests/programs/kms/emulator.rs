//! The emulated AWS that all tests share.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

/// The emulated AWS.
pub(super) struct Emulator {
    /// Where its interfaces are.
    pub(super) endpoint: String,
    /// The region that it plays.
    pub(super) region: String,
    conversation: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Child,
}

/// The one that the first test starts. It ends with this process, at the end of its input.
pub(super) fn emulator() -> &'static Emulator {
    static STARTED: OnceLock<Emulator> = OnceLock::new();
    STARTED.get_or_init(Emulator::start)
}

impl Emulator {
    fn start() -> Self {
        let python = std::env::var_os("QT_LOCALSTACK_PYTHON")
            .expect("QT_LOCALSTACK_PYTHON is set: run the tests by `cargo xtask test`");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../localstack/emulator.py");
        let mut command = Command::new(python);
        command.arg(script).arg(port.to_string()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let ready = hear(&mut output);
        let member = |name: &str| ready[name].as_str().unwrap().to_owned();
        let (endpoint, region) = (member("endpoint"), member("region"));
        Self { endpoint, region, conversation: Mutex::new((input, output)), _process: child }
    }

    /// Has something done.
    fn does(&self, what: &Value) -> Value {
        let mut conversation = self.conversation.lock().unwrap();
        let (input, output) = &mut *conversation;
        writeln!(input, "{what}").unwrap();
        let answer = hear(output);
        assert_eq!(answer["error"], Value::Null, "{what}");
        answer
    }

    /// Makes a key of KMS; its ARN.
    pub(super) fn make_key(&self) -> String {
        self.does(&json!({ "do": "make-key" }))["key_id"].as_str().unwrap().to_owned()
    }

    /// Calls KMS as its owner, for what is of no use to programs.
    pub(super) fn kms(&self, call: &str, arguments: &Value) {
        self.does(&json!({ "do": "kms", "call": call, "arguments": arguments }));
    }

    /// Deploys a function under a name of its own; its URL, whose name leads nowhere but to the endpoint.
    pub(super) fn deploy(&self, name: &str, code: &str, environment: &Value) -> String {
        let answer =
            self.does(&json!({ "do": "deploy", "name": name, "code": code, "environment": environment }));
        answer["url"].as_str().unwrap().to_owned()
    }

    /// One origin for functions at these URLs.
    pub(super) fn serve_origin(&self, urls: &Value) -> String {
        let answer = self.does(&json!({ "do": "serve-origin", "port": 0, "functions": urls }));
        answer["url"].as_str().unwrap().to_owned()
    }

    /// Host and port of its interfaces.
    pub(super) fn address(&self) -> &str {
        self.endpoint.strip_prefix("http://").unwrap()
    }
}

fn hear(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("the emulated AWS said {line:?}"))
}
