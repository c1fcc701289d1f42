//! Tests of the lines.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

fn whole(line: u64, id: &str) -> Whole {
    let created = Some(Timestamp { seconds: 1_763_709_266, nanos: 123_456_000 });
    let conversation = v1::Conversation {
        id: id.to_owned(),
        title: "Tea \"or\" coffee\n".to_owned(),
        created,
        updated: Some(Timestamp { seconds: -5, nanos: 0 }),
        turns: 0,
        policy: Policy::Private.into(),
    };
    let turn = v1::Turn {
        id: "t1".to_owned(),
        prompt: "Grün oder schwarz?\u{0}\u{2028}".to_owned(),
        answer: "🦀 black".to_owned(),
        track: Track::Slow.into(),
        model: "large".to_owned(),
        created,
        usage: Some(v1::Usage { prompt_tokens: 3, accepted_tokens: 1, ..Default::default() }),
        finish_reason: FinishReason::Length.into(),
        private: true,
        tool_calls: vec![v1::ToolCall {
            id: "1".to_owned(),
            name: "f".to_owned(),
            arguments: "{\"a\":1}".to_owned(),
        }],
        tool_results: vec![v1::ToolResult {
            tool_call_id: "0".to_owned(),
            content: "x".to_owned(),
        }],
        images: 2,
        citations: vec![v1::Citation {
            number: 3,
            source: "/a".to_owned(),
            headings: vec!["One".to_owned()],
            similarity: Some(0.1),
            cited: true,
            ..v1::Citation::default()
        }],
    };
    let plain = v1::Turn { id: "t2".to_owned(), ..Default::default() };
    Whole { line, conversation, turns: vec![turn, plain] }
}

fn lines(whole: &Whole) -> Vec<u8> {
    let turns = whole.turns.iter().cloned().flat_map(turn_line);
    conversation_line(whole.conversation.clone()).into_iter().chain(turns).collect()
}

fn import(bytes: &[u8], step: usize) -> Vec<Result<Whole, Broken>> {
    let mut importer = Importer::default();
    let mut ended: Vec<_> = bytes.chunks(step).flat_map(|part| importer.push(part)).collect();
    ended.extend(importer.finish());
    ended
}

#[test]
fn what_was_exported_reads_back_as_it_was_however_it_comes() {
    let file = [lines(&whole(1, "a")), lines(&whole(4, "b"))].concat();
    for step in [1, 100, usize::MAX] {
        let read: Vec<_> = import(&file, step).into_iter().map(Result::unwrap).collect();
        assert_eq!(read, [whole(1, "a"), whole(4, "b")]);
        assert_eq!(read.iter().flat_map(lines).collect::<Vec<_>>(), file);
    }
    assert_eq!(import(file.trim_ascii_end(), 10).len(), 2, "the last line need not end");
}

#[test]
fn a_broken_line_is_named_and_nothing_of_its_conversation_is_read() {
    let whole_file = |broken: &[u8]| {
        let mut file = lines(&whole(1, "a"));
        let second = lines(&whole(4, "b"));
        let cut = second.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        file.extend(&second[..cut]);
        file.extend(broken);
        file.extend(&second[cut..]);
        file.extend(lines(&whole(8, "c")));
        import(&file, 64)
    };
    for broken in [
        &b"{\"turn\":{}}\n"[..],
        b"nonsense\n",
        b"{\"turn\":{\"id\":\"x\n",
        b"\xff\xfe\n",
        b"{\"other\":1}\n",
    ] {
        let read = whole_file(broken);
        let Broken { line, id, problem } = read[1].clone().unwrap_err();
        assert_eq!((line, id.as_str()), (5, "b"), "{problem}");
        let others: Vec<_> = [&read[0], &read[2]].into_iter().flatten().collect();
        assert_eq!(others.iter().map(|it| &it.conversation.id).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(read.len(), 3);
    }
}

#[test]
fn a_conversation_that_is_broken_itself_is_named() {
    let good = String::from_utf8(lines(&whole(1, "a"))).unwrap();
    for (from, to) in [("POLICY_PRIVATE", "STRICTER"), ("2025-", "never-")] {
        let mut read = import(good.replace(from, to).as_bytes(), 50);
        assert_eq!(read.len(), 1);
        let broken = read.remove(0).unwrap_err();
        assert_eq!((broken.line, broken.id.as_str()), (1, "a"), "{}", broken.problem);
    }
    let turn_first = turn_line(v1::Turn { id: "t".to_owned(), ..Default::default() });
    assert_eq!(import(&turn_first, 9)[0].clone().unwrap_err().line, 1);
}
