//! The words of an SCTP packet: its chunks, in order, each followed by what is special about it.

use palisade_wire::sctp::chunk;

use super::cursor::Parsed;
use super::packet::Line;
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::model::{Payload, SctpChunk, SctpSpec, What};

/// Chunks by name.
const CHUNKS: &[(&str, u8)] = &[
    ("data", chunk::DATA),
    ("init", chunk::INIT),
    ("init-ack", chunk::INIT_ACK),
    ("sack", chunk::SACK),
    ("heartbeat", chunk::HEARTBEAT),
    ("heartbeat-ack", chunk::HEARTBEAT_ACK),
    ("abort", chunk::ABORT),
    ("shutdown", chunk::SHUTDOWN),
    ("shutdown-ack", chunk::SHUTDOWN_ACK),
    ("error", chunk::ERROR),
    ("cookie-echo", chunk::COOKIE_ECHO),
    ("cookie-ack", chunk::COOKIE_ACK),
    ("shutdown-complete", chunk::SHUTDOWN_COMPLETE),
];

/// Words beside the chunks' names.
const WORDS: &[&str] = &["chunk", "raw", "vtag", "tag", "T", "flags", "length"];

impl Line<'_, '_, '_> {
    /// `sctp CHUNK [tag N] [T] [PAYLOAD] CHUNK … [vtag N]`.
    pub(super) fn sctp(&mut self) -> Parsed<What> {
        let mut spec = SctpSpec::default();
        while let Some(token) = self.own()? {
            let named = CHUNKS.iter().find(|(name, _)| *name == token.text);
            let kind = match token.text {
                "vtag" => {
                    spec.tag = self.sequence_number()?;
                    continue;
                }
                "chunk" => Some(self.cursor.number("a chunk's type", 255)? as u8),
                "raw" => None,
                _ => match named {
                    Some((_, kind)) => Some(*kind),
                    None => {
                        self.about_chunk(token, &mut spec)?;
                        continue;
                    }
                },
            };
            self.give_payload(&mut spec);
            spec.chunks.push(SctpChunk {
                kind,
                ..SctpChunk::default()
            });
        }
        self.give_payload(&mut spec);
        Ok(What::Sctp(spec))
    }

    /// A word about the chunk before it.
    fn about_chunk(
        &mut self,
        token: &crate::script::lex::Token<'_>,
        spec: &mut SctpSpec,
    ) -> Parsed<()> {
        if !WORDS.contains(&token.text) {
            let names: Vec<&str> = CHUNKS.iter().map(|(n, _)| *n).collect();
            return Err(self.unknown(token, &[&names, WORDS].concat()));
        }
        let Some(last) = spec.chunks.last_mut() else {
            return Err(ScriptDiagnostic::new(
                "wrong-word",
                token.span,
                format!("`{}` is about the chunk before it", token.text),
            )
            .help("as in `sctp init tag 77`"));
        };
        match token.text {
            "tag" if matches!(last.kind, Some(chunk::INIT | chunk::INIT_ACK)) => {
                last.init_tag = self.sequence_number()?;
            }
            "tag" => {
                return Err(ScriptDiagnostic::new(
                    "wrong-word",
                    token.span,
                    "`tag` is what init and init-ack announce",
                )
                .help("write `vtag` for the tag in the packet's header"));
            }
            "T" => last.flags = Some(1),
            "flags" => last.flags = Some(self.cursor.number("a chunk's flags", 255)? as u8),
            _ => last.length = Some(self.cursor.number("a chunk's length", 65_535)? as u16),
        }
        Ok(())
    }

    /// What was written so far belongs to the last chunk, or stands before the first.
    fn give_payload(&mut self, spec: &mut SctpSpec) {
        let payload: Payload = std::mem::take(&mut self.payload);
        if payload.is_empty() {
            return;
        }
        match spec.chunks.last_mut() {
            Some(last) => last.payload = payload,
            None => spec.chunks.push(SctpChunk {
                payload,
                ..SctpChunk::default()
            }),
        }
    }
}
