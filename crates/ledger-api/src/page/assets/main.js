// The frame: header, routes, time zone, theme, token. A view is a function of its route that returns an element, and
// what stops it.

import { hasToken, onUnauthorized, setToken } from "./api.js";
import { announce, button, h, link, note, replace, select } from "./dom.js";
import { problemNote } from "./words.js";
import { current, href } from "./route.js";
import { setZone, zoneName, zones } from "./time.js";
import { listView } from "./lists.js";
import { operateView } from "./operate.js";
import { quarantineItemView } from "./quarantine.js";
import { recordView } from "./record.js";
import { startView } from "./start.js";
import { statementView } from "./statement.js";
import { tenantView } from "./tenant.js";
import { verifyView } from "./verifying.js";
import { whatIfView } from "./whatif.js";

const NAVIGATION = [["Start", []], ["Lists", ["list", "installations"]], ["What-if", ["what-if"]], ["Verify", ["verify"]], ["Operate", ["operate"]]];

let stop = () => {};
let shown = 0;

const VIEWS = {
	"": () => startView(),
	search: (_, parameters) => listView("search", parameters),
	list: ([name], parameters) => listView(name, parameters),
	tenant: ([key, what, seq], parameters) => {
		if (what === "record") return recordView(key, Number(seq), parameters);
		return what === "statement" ? statementView(key) : tenantView(key, parameters);
	},
	quarantine: ([topic, partition, seq]) => quarantineItemView(topic, partition, seq),
	"what-if": (_, parameters) => whatIfView(parameters),
	verify: () => verifyView(),
	operate: (_, parameters) => operateView(parameters),
};

const unknownView = () => ({ title: "Not a page", element: [h("h1", "Not a page"), note("", link("#/", "Back to the start"))] });

function put({ element, title }) {
	const main = document.getElementById("main");
	replace(main, element);
	main.removeAttribute("aria-busy");
	document.title = `${title} · realm-ledger`;
}

async function show(focus = true) {
	const main = document.getElementById("main"), mine = ++shown;
	stop();
	stop = () => {};
	drawHeader();
	const { segments: [first = "", ...rest], parameters } = current();
	main.setAttribute("aria-busy", "true");
	let made;
	try {
		made = await (Object.hasOwn(VIEWS, first) ? VIEWS[first] : unknownView)(rest, parameters);
	} catch (failed) {
		made = { title: "Refused", element: [h("h1", "No answer"), problemNote(failed)] };
	}
	if (mine !== shown) return made.stop?.();
	stop = made.stop ?? (() => {});
	put(made);
	if (focus) {
		window.scrollTo(0, 0);
		main.focus({ preventScroll: true });
		announce(made.title);
	}
}

function useToken(token) {
	setToken(token);
	show();
}

function tokenView(wrong) {
	const input = h("input", { type: "password", name: "token", plain: true, required: true });
	const element = h("form.card", { submit: () => useToken(input.value.trim()) },
		h("h1", "A token, please"),
		h("p.soft", "This ledger answers only to those who may ask. It is kept in the memory of this tab only."),
		wrong && note("bad", "That token was refused: unknown, expired, or mistyped."),
		h("label", "Bearer token", input),
		h("div", h("button.main", "Go on")));
	return { title: "A token, please", element };
}

onUnauthorized((wrong) => {
	shown++;
	stop();
	stop = () => {};
	setToken("");
	put(tokenView(wrong));
	drawHeader();
});


function applyTheme() {
	return (document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system");
}

function drawHeader() {
	const { segments } = current();
	const isHere = (path) => (path[0] ?? "") === (segments[0] ?? "");
	const tab = ([name, path]) => h("li", h("a", { href: href(path), "aria-current": isHere(path) && "page" }, name));
	const chooseZone = ({ target }) => {
		setZone(target.value);
		show(false);
	};
	const chooseTheme = ({ target }) => {
		localStorage.setItem("theme", target.value);
		applyTheme();
	};
	replace(document.getElementById("top"), h("div", { class: "bar" },
		h("a.brand", { href: "#/" }, h("img", { src: "page/icon.svg", alt: "" }), "realm-ledger"),
		h("nav", { label: "Views" }, h("ul", NAVIGATION.map(tab))),
		h("div.prefs", select({ label: "Time zone of everything shown", change: chooseZone }, zones(), zoneName()),
			select({ label: "Theme", change: chooseTheme }, ["system", "light", "dark"].map((name) => [name, `${name} theme`]), applyTheme()),
			hasToken() && button("Forget token", () => useToken("")))));
}

document.querySelector(".skip").addEventListener("click", (event) => {
	event.preventDefault();
	document.getElementById("main").focus();
});
addEventListener("hashchange", () => show());
applyTheme();
show(false);
