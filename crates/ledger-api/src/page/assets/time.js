// One time zone for everything that is shown or typed. The URL and the API have UTC.

import { h } from "./dom.js";

export const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const stored = localStorage.getItem("zone");
const offsets = new Map();
let zone = "UTC", parts;

function formatter(timeZone) {
	return new Intl.DateTimeFormat("en-GB", {
		timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
	});
}

export function setZone(name) {
	try {
		parts = formatter(name);
		zone = name;
		offsets.clear();
		localStorage.setItem("zone", name);
	} catch {
		setZone("UTC");
	}
}
setZone(stored ?? "UTC");

export function zoneName() {
	return zone;
}

export function zones() {
	const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
	const all = Intl.supportedValuesOf?.("timeZone") ?? [];
	return [...new Set(["UTC", own, ...all])];
}

export function parse(text) {
	const ms = text === undefined || text === null || text === "" ? NaN : Date.parse(text);
	return Number.isNaN(ms) ? undefined : ms;
}

export function iso(ms) {
	return new Date(Math.round(ms)).toISOString();
}

function offsetAt(ms) {
	const f = {};
	for (const { type, value } of parts.formatToParts(ms)) f[type] = value;
	return Date.UTC(+f.year, f.month - 1, +f.day, +f.hour, +f.minute, +f.second) - Math.floor(ms / 1000) * 1000;
}

// The zone's distance from UTC. Asking costs, so it is kept for each day on which it does not change.
function offset(ms) {
	if (zone === "UTC") return 0;
	const day = Math.floor(ms / DAY);
	let known = offsets.get(day);
	if (known === undefined) {
		const [first, last] = [offsetAt(day * DAY), offsetAt((day + 1) * DAY - 1)];
		offsets.set(day, known = first === last ? first : NaN);
	}
	return Number.isNaN(known) ? offsetAt(ms) : known;
}

// Wall clock of the zone, as milliseconds as if it were UTC.
function wall(ms) {
	return Math.floor(ms / 1000) * 1000 + offset(ms);
}

// The instant at which the zone's wall clock shows this. An hour that is skipped becomes the next one.
function fromWall(clock) {
	let ms = clock;
	for (let round = 0; round < 2; round++) ms = clock - offset(ms);
	return ms;
}

export function show(ms) {
	return new Date(wall(ms)).toISOString().slice(0, 19).replace("T", " ");
}

export function showShort(ms) {
	return show(ms).slice(0, 16);
}

export function when(given, short) {
	const ms = typeof given === "number" ? given : parse(given);
	if (ms === undefined) return h("span.soft", "unknown");
	const text = short ? showShort(ms) : show(ms);
	return h("time", { datetime: iso(ms), title: `${iso(ms)} (UTC)` }, text);
}

export function fromInput(text) {
	const clock = parse(`${text.trim().replace(" ", "T")}Z`);
	return clock === undefined ? undefined : fromWall(clock);
}

export function duration(ms) {
	if (ms < MINUTE) return "less than a minute";
	const days = Math.floor(ms / DAY), hours = Math.floor((ms % DAY) / HOUR), minutes = Math.floor((ms % HOUR) / MINUTE);
	if (days >= 3) return `${days} d`;
	if (days > 0) return hours ? `${days} d ${hours} h` : `${days} d`;
	return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min`;
}

// [instant, label] of a time axis with at most `most` labels, on round wall clock times of the zone.
export function ticks(from, to, most) {
	const fits = (step) => (to - from) / step <= most, start = new Date(wall(from)), found = [];
	const step = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY].find(fits);
	const months = [1, 3, 6, 12, 24, 60, 120].find((count) => fits(count * 30.4 * DAY)) ?? 1200, letters = step ? 10 : months < 12 ? 7 : 4;
	for (let number = step ? Math.ceil(start / step) : Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months); ; number++) {
		const clock = step ? number * step : Date.UTC(1970, number * months - 1970 * 12);
		const at = fromWall(clock), text = new Date(clock).toISOString();
		if (at > to) return found;
		if (at >= from) found.push([at, step < DAY ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(0, letters)]);
	}
}
