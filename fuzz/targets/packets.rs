//! RTP packets as a camera may send them, each behind its length in one byte: never more access units lost than a jump in
//! the packets' numbers may hide.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_pipeline::rtp::{Packet, PacketClock, Payload, SentUnits};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let payload = [Payload::H264, Payload::H265, Payload::Other][usize::from(kind % 3)];
    let base = (kind & 4 != 0).then_some((7, 90_000));
    let mut units = SentUnits::new(payload, base);
    let mut clock = PacketClock::new(u32::from(*kind) * 700);
    let (mut lost, mut packets) = (0_u64, 0_u64);
    while let Some((length, behind)) = rest.split_first() {
        let (packet, after) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = after;
        if let Some(packet) = Packet::parse(packet) {
            packets += 1;
            let given = u64::from(packet.sequence) << (kind % 64);
            assert_eq!(clock.pts_ns(packet.timestamp, given), clock.pts_ns(packet.timestamp, given), "one picture");
            lost += u64::from(units.packet(&packet).lost);
        }
    }
    assert!(lost <= packets * 3000, "{lost} lost among {packets}");
});
