//! Runs the program as a user does.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a failed unwrap is a failed test")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

/// Runs `portcullis` in the folder of the responses.
fn portcullis(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"))
        // No proxy between it and the servers of these tests.
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Answers one connection with `answer`; the URL to ask, and what comes back is the request.
fn server(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/orders?x=1", listener.local_addr().unwrap());
    let request = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.extend(byte);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, request)
}

#[test]
fn exit_statuses() {
    for (arguments, status) in [
        (&["--help"][..], 0),
        (&["headers", "--help"], 0),
        (&["headers", "bare.txt"], 0),
        (&["headers", "guarded.txt", "--min-grade", "A+"], 0),
        (&["headers", "shop.txt", "--min-grade", "E"], 0),
        (&["headers", "shop.txt", "--min-grade", "D"], 1),
        (&["headers", "bare.txt", "--min-grade=E", "--json"], 1),
        (&[], 2),
        (&["headers"], 2),
        (&["headers", "bare.txt", "--min-grade", "X"], 2),
        (&["headers", "body.txt"], 2),
        (&["headers", "none.txt"], 2),
        (&["headers", "."], 2),
        (&["headers", "http://127.0.0.1:1/"], 2),
        (&["headers", "https://127.0.0.1:1/"], 2),
    ] {
        let (actual, output, errors) = portcullis(arguments, b"");
        assert_eq!(actual, status, "{arguments:?}: {errors}");
        assert_eq!((output.is_empty(), errors.is_empty()), (status == 2, status != 2), "{arguments:?}");
    }
}

#[test]
fn errors_say_what_was_expected() {
    for (argument, expected) in [
        (
            "body.txt",
            "portcullis: body.txt: line 1: expected a status line as in `HTTP/1.1 200 OK` or `HTTP/2 200`\n",
        ),
        ("--wrong", "portcullis: unknown option `--wrong`\nsee `portcullis --help`\n"),
    ] {
        assert_eq!(portcullis(&["headers", argument], b"").2, expected);
    }
}

/// The page shows what the program prints.
#[test]
fn the_pages_examples_are_real() {
    let page = include_str!("../../docs/cli.md");
    for (arguments, printed) in [
        (&["headers", "shop.txt"][..], "headers shop.txt"),
        (&["headers", "bare.txt", "--json"], "headers bare.txt --json"),
        (&["headers", "--help"], "headers --help"),
    ] {
        let (_, output, _) = portcullis(arguments, b"");
        assert!(page.contains(&format!("$ portcullis {printed}\n{output}```")), "{printed}:\n{output}");
    }
}

#[test]
fn a_response_on_standard_input() {
    let input = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/guarded.txt")).unwrap();
    let (status, output, _) = portcullis(&["headers", "-", "--min-grade", "A+"], &input);
    assert_eq!(status, 0);
    assert!(output.ends_with("\ngrade A+: 100 of 100 points\n"), "{output}");
    let (_, output, _) = portcullis(&["headers", "-", "--plaintext"], &input);
    assert!(output.ends_with("\ngrade B: 78 of 100 points\n"), "{output}");
}

#[test]
fn json_says_the_same_without_cutting_and_without_cookies() {
    let (_, output, _) = portcullis(&["headers", "shop.txt", "--json"], b"");
    let report: Value = serde_json::from_str(&output).unwrap();
    let (_, table, _) = portcullis(&["headers", "shop.txt"], b"");
    let last = format!("grade {}: {} of 100 points\n", report["grade"].as_str().unwrap(), report["score"]);
    assert!(table.ends_with(&last));
    assert_eq!(report["status"], 200);
    let findings = report["findings"].as_array().unwrap();
    let policy = findings.iter().find(|finding| finding["field"] == "content-security-policy").unwrap();
    assert!(policy["found"].as_str().unwrap().ends_with("frame-ancestors 'self'"));
    assert!(table.contains('…'));
    for text in [output, table] {
        assert!(text.contains("connect.sid") && !text.contains("vZ0Q7rV1"), "{text}");
    }
}

#[test]
fn a_server_is_asked_once_and_its_body_is_not_waited_for() {
    let (url, request) = server("HTTP/1.1 404 Not Found\r\nServer: a\r\nContent-Length: 1000\r\n\r\n");
    let (status, output, errors) = portcullis(&["headers", &url, "--json"], b"");
    assert_eq!(status, 0, "{errors}");
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["status"], 404);
    let fields: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["field"].as_str().unwrap())
        .collect();
    assert!(fields.contains(&"server") && fields.contains(&"(transport)"), "{fields:?}");
    let request = request.join().unwrap();
    assert!(request.starts_with("GET /orders?x=1 HTTP/1.1\r\n"), "{request}");
}

#[test]
fn a_redirect_is_graded_and_not_followed() {
    let (url, request) =
        server("HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    let (status, output, errors) = portcullis(&["headers", &url], b"");
    assert_eq!(status, 0, "{errors}");
    assert!(output.contains("referrer-policy") && !output.contains("(transport)"), "{output}");
    request.join().unwrap();
}

#[test]
fn what_is_no_http_is_an_error() {
    let (url, request) = server("220 mail.test ESMTP\r\n\r\n");
    let (status, output, errors) = portcullis(&["headers", &url], b"");
    assert_eq!((status, output.as_str()), (2, ""));
    assert!(errors.starts_with(&format!("portcullis: {url}: ")), "{errors}");
    request.join().unwrap();
}
