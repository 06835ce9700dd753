//! A region to look at: as GeoJSON (RFC 7946) and as a plain SVG. Both are text, the same for the same input.
//!
//! A picture proves nothing: lines are drawn to a thousandth of the view, and a region smaller than the smallest triangle
//! is drawn as that. Names come from a policy and are escaped.

use super::{
    geometry::{Ball, Direction, Triangle},
    region::{Cover, Disc, Region},
    territory::{Polygon, Position, Territory},
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write;

/// Landmarks as points, discs and the region as polygons. Triangles of the region lie in it whole or, at its edge, in
/// part; they do not overlap.
pub fn geojson(region: &Region) -> String {
    let cover = region.cover(CELLS);
    let mut features: Vec<String> = Vec::new();
    for disc in region.discs() {
        let properties = format!(
            "{{\"kind\":\"landmark\",\"operator\":{},\"radius_km\":{:.3}}}",
            json_text(&disc.operator),
            disc.radius_km
        );
        features.push(feature(
            &format!("{{\"type\":\"Point\",\"coordinates\":{}}}", coordinates(disc.ball().center)),
            &properties,
        ));
        let ring = circle(&disc.ball()).into_iter().map(coordinates).collect::<Vec<_>>().join(",");
        let properties = format!("{{\"kind\":\"disc\",\"operator\":{}}}", json_text(&disc.operator));
        features.push(feature(&format!("{{\"type\":\"LineString\",\"coordinates\":[{ring}]}}"), &properties));
    }
    let cells = cover.cells.iter().map(|(cell, _)| triangle(cell)).collect::<Vec<_>>().join(",");
    let (needed, operators) = region.quorum();
    let properties = format!(
        "{{\"kind\":\"region\",\"area_km2\":{:.0},\"cell_km\":{:.3},\"operators\":{operators},\"agreeing\":{needed}}}",
        cover.area_km2(),
        cover.side_km
    );
    features.push(feature(&format!("{{\"type\":\"MultiPolygon\",\"coordinates\":[{cells}]}}"), &properties));
    format!("{{\"type\":\"FeatureCollection\",\"features\":[{}]}}\n", features.join(","))
}

/// The region in red on the land around it, with the landmarks whose discs are in view; north is up in the middle.
pub fn svg(region: &Region, territory: &Territory) -> String {
    let cover = region.cover(CELLS);
    let view = View::of(&cover);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {SIDE}\" font-family=\"sans-serif\" \
         font-size=\"12\"><title>{}</title><rect width=\"{SIDE}\" height=\"{SIDE}\" fill=\"#dce9f2\"/>",
        xml_text(&title(region, &cover))
    );
    for land in territory.lands() {
        let drawn: String = land.polygons.iter().filter_map(|polygon| view.land(polygon)).collect();
        if !drawn.is_empty() {
            let code = xml_text(&land.code);
            let _ = write!(picture, "<path d=\"{drawn}\" {LAND}><title>{code}</title></path>");
        }
    }
    let cells: String = cover.cells.iter().filter_map(|(cell, _)| view.path(cell.corners.into_iter(), true)).collect();
    let _ = write!(picture, "<path d=\"{cells}\" {REGION}/>");
    for disc in region.discs() {
        view.draw_disc(&mut picture, disc);
    }
    picture.push_str(&view.scale());
    picture.push_str("</svg>\n");
    picture
}

fn title(region: &Region, cover: &Cover) -> String {
    let (needed, operators) = region.quorum();
    format!("{:.0} km², on which {needed} of {operators} operators agree", cover.area_km2())
}

/// What a picture shows: a square around the region, straight distances from its middle kept.
struct View {
    center: Direction,
    /// Half of the side, in units of the Earth's radius.
    reach: f64,
}

impl View {
    fn of(cover: &Cover) -> View {
        let balls: Vec<Ball> = cover.cells.iter().map(|(cell, _)| cell.ball()).collect();
        let first = balls.first().copied().unwrap_or(Ball { center: Direction::of(NOWHERE), radius: NARROWEST });
        let farthest = |from: Direction| {
            let distance = |ball: &&Ball| ball.center.distance_squared(from);
            balls.iter().max_by(|a, b| distance(a).total_cmp(&distance(b))).map_or(from, |ball| ball.center)
        };
        // The middle of two points that are far from each other; those at opposite ends of the Earth have none.
        let end = farthest(first.center);
        let other = farthest(end);
        let center = if end.distance_squared(other) < 3.0 { end.between(other) } else { first.center };
        let reach = libm::sqrt(farthest(center).distance_squared(center)) + first.radius;
        View { center, reach: (reach * MARGIN).clamp(NARROWEST, WIDEST) }
    }

    /// Where a direction is drawn; `None` beyond the half of the Earth that can be.
    fn place(&self, at: Direction) -> Option<(f64, f64)> {
        if at.distance_squared(self.center) > FARTHEST_SQUARED {
            return None;
        }
        let (east, north) = at.seen_from(self.center);
        let half = SIDE / 2.0;
        Some((half + east / self.reach * half, half - north / self.reach * half))
    }

    fn is_near(&self, at: Direction) -> bool {
        let reach = self.reach * 2.0;
        at.distance_squared(self.center) <= reach * reach
    }

    /// A path through what can be drawn; nothing if that is less than a line.
    fn path(&self, points: impl Iterator<Item = Direction>, is_closed: bool) -> Option<String> {
        let (mut path, mut last) = (String::new(), None);
        for (x, y) in points.filter_map(|at| self.place(at)) {
            let is_in_view = (0.0..=SIDE).contains(&x) && (0.0..=SIDE).contains(&y);
            let least = if is_in_view { 0.4 } else { 12.0 };
            // What the eye cannot tell from the last point is left out.
            if last.is_some_and(|(before_x, before_y)| libm::hypot(x - before_x, y - before_y) < least) {
                continue;
            }
            last = Some((x, y));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
        }
        if is_closed {
            path.push('Z');
        }
        path.contains('L').then_some(path)
    }

    /// The rings of a polygon of which some corner is near.
    fn land(&self, polygon: &Polygon) -> Option<String> {
        let corners = || polygon.rings.iter().map(|ring| ring.iter().map(|at| Direction::of(*at)));
        let is_seen = corners().flatten().any(|at| self.is_near(at));
        is_seen.then(|| corners().filter_map(|ring| self.path(ring, true)).collect())
    }

    fn draw_disc(&self, picture: &mut String, disc: &Disc) {
        let ball = disc.ball();
        if let Some(path) = self.path(circle(&ball).into_iter(), false) {
            let _ = write!(picture, "<path d=\"{path}\" {DISC}/>");
        }
        if let Some((x, y)) = self.place(ball.center).filter(|_| self.is_near(ball.center)) {
            let (name, label) = (xml_text(&disc.operator), format!("{:.0} km", disc.radius_km));
            let _ = write!(picture, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#1f4e79\"/>");
            let _ = write!(picture, "<text x=\"{:.1}\" y=\"{y:.1}\">{name} {label}</text>", x + 5.0);
        }
    }

    /// A bar with its length in km, a power of ten.
    fn scale(&self) -> String {
        let side_km = 2.0 * self.reach * super::geometry::RADIUS_KM;
        let mut bar_km = 1.0;
        while bar_km * 10.0 < side_km {
            bar_km *= 10.0;
        }
        let length = bar_km / side_km * SIDE;
        format!(
            "<path d=\"M20 {y:.1}h{length:.1}\" stroke=\"#000\" stroke-width=\"3\"/><text x=\"20\" y=\"{text:.1}\">{bar_km:.0} km</text>",
            y = SIDE - 20.0,
            text = SIDE - 26.0
        )
    }
}

/// Points of a ball's edge, the first once more at the end; none where it is the whole Earth.
fn circle(ball: &Ball) -> Vec<Direction> {
    if ball.radius >= 2.0 {
        return Vec::new();
    }
    let bearing = |step: u32| f64::from(step) * core::f64::consts::TAU / f64::from(STEPS);
    (0..=STEPS).map(|step| ball.center.step(bearing(step % STEPS), ball.radius)).collect()
}

fn triangle(cell: &Triangle) -> String {
    let [a, b, c] = cell.corners.map(coordinates);
    format!("[[{a},{b},{c},{a}]]")
}

fn feature(geometry: &str, properties: &str) -> String {
    format!("{{\"type\":\"Feature\",\"geometry\":{geometry},\"properties\":{properties}}}")
}

/// Longitude and latitude (RFC 7946 §3.1.1).
fn coordinates(at: Direction) -> String {
    let position = at.position();
    format!("[{:.6},{:.6}]", f64::from(position.lon_e6) / 1e6, f64::from(position.lat_e6) / 1e6)
}

/// A JSON string (RFC 8259 §7).
fn json_text(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Character data of XML (XML 1.0 §2.4); control characters, which it cannot carry, become U+FFFD.
fn xml_text(text: &str) -> String {
    let escape = |character: char| match character {
        '<' => "&lt;".to_string(),
        '>' => "&gt;".to_string(),
        '&' => "&amp;".to_string(),
        '"' => "&quot;".to_string(),
        control if control.is_control() => char::REPLACEMENT_CHARACTER.to_string(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Triangles of a picture: about 40 across.
const CELLS: usize = 4000;
/// Points of a drawn circle.
const STEPS: u32 = 180;
/// Width and height of the picture.
const SIDE: f64 = 800.0;
/// More than the region is shown, so that what is near can be seen.
const MARGIN: f64 = 1.6;
/// Views reach from 10 km to a hemisphere.
const NARROWEST: f64 = 0.0016;
const WIDEST: f64 = 1.57;
/// Shown where there is no region.
const NOWHERE: Position = Position { lat_e6: 0, lon_e6: 0 };
/// The other side of the Earth is not drawn: its lines would run across the picture.
const FARTHEST_SQUARED: f64 = 2.0;
const LAND: &str = "fill=\"#f4f1e6\" fill-rule=\"evenodd\" stroke=\"#8a8a7a\" stroke-width=\"0.7\"";
const REGION: &str = "fill=\"#c0392b\" fill-opacity=\"0.55\"";
const DISC: &str = "fill=\"none\" stroke=\"#1f4e79\" stroke-width=\"1\" stroke-opacity=\"0.7\"";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::place::region::Trust;
    use alloc::vec;
    use core::num::NonZeroUsize;

    fn region(operator: &str) -> Region {
        let disc = |operator: &str, lon_e6, radius_km| Disc {
            operator: operator.to_string(),
            center: Position { lat_e6: 50_110_000, lon_e6 },
            radius_km,
        };
        let discs = vec![disc(operator, 8_680_000, 120.0), disc("b", 9_500_000, 90.0), disc("c", 8_000_000, 150.0)];
        Region::new(&[operator, "b", "c"], discs, &Trust::AllBut(NonZeroUsize::MIN)).unwrap()
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_picture() {
        let hostile = "\"><script>&\u{1}\\";
        let (json, picture) = (geojson(&region(hostile)), svg(&region(hostile), &Territory::builtin().unwrap()));
        assert!(json.contains("\"\\\"><script>&\\u0001\\\\\"") && !json.contains('\u{1}'));
        assert!(picture.contains("&quot;&gt;&lt;script&gt;&amp;\u{fffd}\\") && !picture.contains("<script"));
    }

    #[test]
    fn a_picture_is_the_same_every_time() {
        let territory = Territory::builtin().unwrap();
        assert_eq!(svg(&region("a"), &territory), svg(&region("a"), &territory));
        assert_eq!(geojson(&region("a")), geojson(&region("a")));
    }

    #[test]
    fn a_picture_shows_the_land_around_and_no_other() {
        let picture = svg(&region("a"), &Territory::builtin().unwrap());
        assert!(picture.contains("<title>DE</title>") && picture.contains("a 120 km") && picture.contains("100 km"));
        assert!(!picture.contains("<title>JP</title>") && !picture.contains("NaN") && !picture.contains("inf"));
    }

    #[test]
    fn geojson_has_each_landmark_its_disc_and_the_region() {
        let json = geojson(&region("a"));
        let count = |kind: &str| json.matches(&format!("\"kind\":\"{kind}\"")).count();
        assert_eq!([count("landmark"), count("disc"), count("region")], [3, 3, 1]);
        assert!(json.contains("[8.680000,50.110000]"), "{json}");
        let cells = json.split("MultiPolygon").nth(1).unwrap();
        assert!(cells.matches("]],[[").count() > 500);
    }

    #[test]
    fn regions_of_the_whole_earth_and_of_no_point_can_be_drawn() {
        let territory = Territory::builtin().unwrap();
        let whole = Region::new(&["a", "b"], vec![], &Trust::AllBut(NonZeroUsize::MIN)).unwrap();
        let disc = |operator: &str, lat_e6| Disc {
            operator: operator.to_string(),
            center: Position { lat_e6, lon_e6: 180_000_000 },
            radius_km: 1.0,
        };
        let discs = vec![disc("a", 90_000_000), disc("b", 0), disc("c", -50_000_000)];
        let none = Region::new(&["a", "b", "c"], discs, &Trust::AllBut(NonZeroUsize::MIN)).unwrap();
        for region in [whole, none] {
            let (json, picture) = (geojson(&region), svg(&region, &territory));
            assert!(!json.contains("NaN") && !picture.contains("NaN") && picture.ends_with("</svg>\n"));
        }
    }
}
