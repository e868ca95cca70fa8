//! A mail server of a test's own, which takes everything it is not told to refuse.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) struct MailServer {
    pub(crate) port: u16,
    box_: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

impl MailServer {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { port: listener.local_addr().unwrap().port(), box_: Arc::default(), answers: Arc::default() };
        let (box_, answers) = (Arc::clone(&server.box_), Arc::clone(&server.answers));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever hangs up is served no more.
                serve(stream.unwrap(), &box_, &answers).ok();
            }
        });
        server
    }

    /// Answers so to the next mails.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = &'static str>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// The mails that came, with their envelopes.
    pub(crate) fn came(&self) -> Vec<String> {
        self.box_.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, box_: &Mutex<Vec<String>>, answers: &Mutex<VecDeque<&'static str>>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    out.write_all(b"220 here\r\n")?;
    let (mut mail, mut in_data) = (String::new(), false);
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let answer = match line.as_str() {
            "." if in_data => {
                in_data = false;
                let answer = answers.lock().unwrap().pop_front().unwrap_or("250 taken");
                box_.lock().unwrap().push(std::mem::take(&mut mail));
                answer
            }
            line if in_data || line.starts_with("MAIL") || line.starts_with("RCPT") => {
                mail.push_str(line);
                mail.push('\n');
                if in_data { continue } else { "250 ok" }
            }
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            line if line.starts_with("EHLO") => "250-here\r\n250 AUTH PLAIN",
            line if line.starts_with("AUTH") => "235 known",
            _ => "250 ok",
        };
        out.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}
