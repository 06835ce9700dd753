//! Where a machine is: what bounds by the speed of light, maps and site statements prove of its place.

pub mod area;
pub mod assess;
pub mod geographic;
pub mod geometry;
pub mod landmark;
pub mod map;
mod patch;
pub mod picture;
pub mod policy;
pub mod region;
pub mod site;
pub mod territory;
pub mod timing;
