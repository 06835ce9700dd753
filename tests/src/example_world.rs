//! An example world for the demo: landmarks of three made-up operators around Dresden and around Ashburn, and how long the way
//! from the machine to each is. The positions are the examples' own; the time that passes is real.

use crate::{
    landmark::{OwnLandmark, options},
    qemu::HOST,
    world::Relay,
};
use garant_verifier::landmark::SystemClocks;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

/// Where the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Where the first landmarks are.
    InEurope,
    /// Where the others are.
    Abroad,
}

/// The landmarks, and the ways to them.
pub struct ExampleWorld {
    landmarks: Vec<(SocketAddr, OwnLandmark)>,
    ways: Vec<Relay>,
}

impl ExampleWorld {
    /// Landmarks that nobody reaches yet.
    pub fn new() -> io::Result<ExampleWorld> {
        let mut landmarks = Vec::new();
        for number in 0..LANDMARKS.len() as u8 {
            let near = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let own = SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1 + number), near.port()));
            landmarks.push((near, OwnLandmark::start_at(own, SystemClocks)));
        }
        Ok(ExampleWorld { landmarks, ways: Vec::new() })
    }

    /// Puts the machine somewhere: near to half of the landmarks, and 45 ms from the others.
    pub fn stand(&mut self, stand: Stand) -> io::Result<()> {
        self.ways.clear();
        for (number, (near, landmark)) in self.landmarks.iter().enumerate() {
            let is_near = (number < LANDMARKS.len() / 2) == (stand == Stand::InEurope);
            let one_way = if is_near { Duration::ZERO } else { FAR };
            self.ways.push(Relay::start(*near, landmark.listening.tls, one_way)?);
        }
        Ok(())
    }

    /// Lines of the configuration of a node in QEMU.
    pub fn options(&self) -> String {
        let one = |(near, landmark): &(SocketAddr, OwnLandmark)| {
            options(SocketAddr::from((HOST, near.port())), &landmark.key)
        };
        self.landmarks.iter().map(one).collect()
    }

    /// `[place]` of a policy: in the EU, and one operator may lie.
    pub fn policy(&self) -> String {
        let mut text = "[place]\nterritory = \"EU\"\nmay_lie = 1\n".to_owned();
        for ((_, landmark), (name, operator, latitude, longitude)) in self.landmarks.iter().zip(LANDMARKS) {
            let key: String = landmark.key.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!(
                "[[place.landmark]]\nname = \"{name}\"\noperator = \"{operator}\"\nkey = \"{key}\"\n\
                 latitude = {latitude}\nlongitude = {longitude}\nuncertainty_m = 50\n"
            );
        }
        text
    }
}

/// Name, operator, latitude, longitude.
const LANDMARKS: [(&str, &str, f64, f64); 6] = [
    ("example-dresden", "Example North", 51.05, 13.74),
    ("example-leipzig", "Example South", 51.34, 12.37),
    ("example-prague", "Example West", 50.08, 14.43),
    ("example-ashburn", "Example North", 39.04, -77.49),
    ("example-richmond", "Example South", 37.54, -77.44),
    ("example-baltimore", "Example West", 39.29, -76.61),
];
/// One way over an ocean.
const FAR: Duration = Duration::from_millis(45);
