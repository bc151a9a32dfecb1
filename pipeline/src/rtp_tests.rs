use super::*;

const PACE: u32 = 3_600;
const PACKETS: u16 = 4;
/// A slice of an H.264 picture.
const SLICE: &[u8] = &[0x41, 0x9a];

/// A packet of a stream with four packets a picture.
fn nth(sequence: u16) -> Packet<'static> {
    Packet { sequence, timestamp: u32::from(sequence / PACKETS) * PACE, payload: SLICE }
}

/// Pictures that arrived, at least in part, and those that did not.
fn count(units: &mut SentUnits, packets: impl IntoIterator<Item = u16>) -> (u32, u32) {
    packets.into_iter().fold((0, 0), |(came, lost), sequence| {
        let begins = units.packet(&nth(sequence));
        (came + u32::from(begins.unit), lost + begins.lost)
    })
}

#[test]
fn every_hole_of_packets_is_counted_in_pictures() {
    for from in 0..40 {
        for length in 0..30 {
            let mut units = SentUnits::new(Payload::H264, Some((0, 0)));
            let (came, lost) = count(&mut units, (0..100).filter(|n| !(from..from + length).contains(n)));
            assert_eq!(came + lost, 25, "{length} packets from {from} on: {came} came, {lost} lost");
        }
    }
}

#[test]
fn numbers_and_timestamps_run_over() {
    let mut units = SentUnits::new(Payload::H264, None);
    let (mut came, mut lost) = (0, 0);
    for n in (0..100u32).filter(|n| !(41..47).contains(n)) {
        let packet = Packet {
            sequence: 65_500u16.wrapping_add(n as u16),
            timestamp: (u32::MAX - 20_000).wrapping_add(n / 2 * PACE),
            payload: SLICE,
        };
        let begins = units.packet(&packet);
        came += u32::from(begins.unit);
        lost += begins.lost;
    }
    assert_eq!((came, lost), (48, 2), "two pictures lost a packet each, and two all of theirs");
}

#[test]
fn a_camera_that_counts_anew_lost_nothing() {
    let mut units = SentUnits::new(Payload::H264, Some((50_000, 1)));
    assert_eq!(count(&mut units, 0..40), (10, 0));
    assert_eq!(count(&mut units, 8_000..8_040), (10, 0));
}

#[test]
fn a_pause_without_a_missing_packet_lost_nothing() {
    let mut units = SentUnits::new(Payload::H264, None);
    for (sequence, timestamp) in [(0, 0), (1, PACE), (2, 2 * PACE), (3, 90 * PACE), (4, 91 * PACE)] {
        assert_eq!(
            units.packet(&Packet { sequence, timestamp, payload: SLICE }),
            Begins { lost: 0, unit: true }
        );
    }
}

#[test]
fn parameter_sets_with_a_timestamp_of_their_own_are_no_picture() {
    let pictures = |payload: Payload, packets: &[&[u8]]| {
        let mut units = SentUnits::new(payload, None);
        let begins = |(n, payload): (usize, &&[u8])| {
            units.packet(&Packet { sequence: n as u16, timestamp: n as u32, payload }).unit
        };
        packets.iter().enumerate().map(begins).collect::<Vec<_>>()
    };
    // SPS, STAP-A of SPS and PPS, STAP-A of PPS and IDR slice, FU-A of an IDR slice, a P slice, SEI, nothing at all.
    let h264: [&[u8]; 7] = [
        &[0x67, 0x42],
        &[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68],
        &[0x78, 0, 1, 0x68, 0, 2, 0x65, 0x88],
        &[0x7c, 0x85, 1],
        &[0x41, 1],
        &[0x06, 5],
        &[],
    ];
    assert_eq!(pictures(Payload::H264, &h264), [false, false, true, true, true, false, true]);
    // VPS, aggregated SPS and PPS, aggregated PPS and IDR slice, a fragment of an IDR slice, a TRAIL slice, SEI.
    let h265: [&[u8]; 6] = [
        &[0x40, 1],
        &[0x60, 1, 0, 2, 0x42, 1, 0, 2, 0x44, 1],
        &[0x60, 1, 0, 2, 0x44, 1, 0, 2, 0x26, 1],
        &[0x62, 1, 0x93],
        &[0x02, 1],
        &[0x4e, 1],
    ];
    assert_eq!(pictures(Payload::H265, &h265), [false, false, true, true, true, false]);
    assert_eq!(pictures(Payload::Other, &[&[0x67], &[]]), [true, true]);
}

#[test]
fn packets_are_read_past_their_extensions_and_before_their_padding() {
    let mut bytes = vec![0xb1, 0xe0, 0x12, 0x34, 0, 1, 0x86, 0xa0, 1, 2, 3, 4];
    // One contributing source, an extension of one word, a payload of two bytes, padding of three.
    bytes.extend([9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, 0x41, 0x9a, 0, 0, 3]);
    let packet = Packet { sequence: 0x1234, timestamp: 100_000, payload: SLICE };
    assert_eq!(Packet::parse(&bytes), Some(packet));
    for length in 0..bytes.len() {
        let _ = Packet::parse(&bytes[..length]);
    }
    assert_eq!(Packet::parse(b"SIP/2.0 200 OK"), None);
}

#[test]
fn pts_are_those_of_the_camera_whatever_arrivals_make_of_them() {
    const MS: u64 = 1_000_000;
    let mut clock = PacketClock::new(90_000);
    // I P B B, in the order of decoding; the jitter buffer is off by some ms, and gives one pts twice.
    let pictures = [(0, 700), (3, 823), (1, 741), (2, 741), (6, 938), (4, 858)];
    let pts = pictures.map(|(n, given)| clock.pts_ns((u32::MAX - 5_000).wrapping_add(n * PACE), given * MS));
    assert_eq!(pts, [0, 3, 1, 2, 6, 4].map(|n| (700 + n * 40) * MS));
    // The camera starts its clock anew, a second later: goes on by the jitter buffer, then by the camera again.
    assert_eq!(clock.pts_ns(123_456_789, 1_858 * MS), (860 + 1_000) * MS);
    assert_eq!(clock.pts_ns(123_456_789 + PACE, 1_999 * MS), 1_900 * MS);
}
