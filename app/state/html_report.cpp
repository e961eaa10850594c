#include "state/html_report.h"

#include "attention/exact_attention.h"
#include "state/text.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <utility>

namespace convscope {

namespace {

constexpr std::size_t worst_count = 12;
constexpr Index most_starts = 256;  ///< in the table; the rest is in the exported CSV

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --ground: #fff; --text: #1b1d21; --dim: #646973; --line: #d5d8de; --raised: #f3f4f6; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #1e2024; --text: #e4e6ea; --dim: #969aa3; --line: #3a3d44; --raised: #2a2d33; }
}
body { background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
p.dim, td.dim, figcaption { color: var(--dim); }
p { overflow-wrap: anywhere; }
.columns { display: flex; flex-wrap: wrap; gap: 0 3rem; align-items: flex-start; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 0.1rem 1.5rem 0.1rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: normal; }
td.number, pre { font-family: ui-monospace, monospace; }
table.list td, table.list th { text-align: right; padding-right: 1.5rem; }
pre { background: var(--raised); padding: 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1rem 0; break-inside: avoid; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
)";

using Facts = std::vector<std::pair<std::string, std::string>>;

void append_facts(std::string& page, std::string_view title, const Facts& facts) {
  page += fmt::format("<section><h2>{}</h2><table>\n", title);
  for (const auto& [name, value] : facts) {
    page += fmt::format("<tr><th>{}</th><td class=\"number\">{}</td></tr>\n", html_escaped(name), html_escaped(value));
  }
  page += "</table></section>\n";
}

Facts head_facts(const AnalysisResult& result, const Provenance& provenance) {
  const auto head = result.analysis->head();
  Facts facts{{"source", provenance.name}};
  if (!provenance.model.empty()) facts.emplace_back("model", provenance.model);
  facts.insert(facts.end(), {{"layer, head", fmt::format("{}, {}", provenance.layer, provenance.head)},
                             {"tokens n", fmt::format("{} of {}", provenance.n, provenance.tokens)},
                             {"width d, d_v", fmt::format("{}, {}", head.width(), head.value_width())},
                             {"scale", fmt::format("{:.6g}", head.scale)}});
  return facts;
}

Facts parameter_facts(const Provenance& provenance) {
  const auto& options = provenance.options;
  if (provenance.method == Method::fit) {
    return {{"method", "fit"},
            {"k asked, found", fmt::format("{}, {}", options.k, provenance.k_found)},
            {"band", fmt::format("{}", provenance.fit_options.band)},
            {"columns", fmt::format("{}", provenance.fit_options.columns)},
            {"precision", "float32"}};
  }
  if (provenance.method == Method::rank) {
    const bool svd = provenance.rank_options.kind == convbasis::RankKind::svd;
    return {{"method", svd ? "rank, truncated SVD" : "rank, polynomial features"},
            svd ? std::pair<std::string, std::string>{"k", fmt::format("{}", provenance.rank_options.k)}
                : std::pair<std::string, std::string>{"degree", fmt::format("{}", provenance.rank_options.degree)},
            {"rank", fmt::format("{}", provenance.k_found)},
            {"precision", "float32"}};
  }
  return {{"method", "recover"},
          {"k asked, found", fmt::format("{}, {}", options.k, provenance.k_found)},
          {"T", fmt::format("{}", options.T)},
          {"delta", fmt::format("{}", options.delta)},
          {"eps", fmt::format("{}", options.eps)},
          {"search", std::string(convbasis::name_of(options.search))},
          {"precision", "float32"}};
}

/// What only this method has to say.
std::pair<std::string, std::string> last_fact(const convbasis::HeadAnalysis<float>& analysis) {
  if (analysis.rank && analysis.rank->features) {
    return {"rows whose weights are not positive", fmt::format("{}", analysis.rank->features->not_positive)};
  }
  if (analysis.rank) return {"relative error with what is above the diagonal", short_number(analysis.rank->unmasked_error)};
  if (analysis.fit) return {"rounds of the fit", fmt::format("{}", analysis.fit->rounds)};
  return {"monotone", analysis.recovery.monotone ? "yes" : "no: the binary search may have missed a start"};
}

Facts error_facts(const convbasis::HeadAnalysis<float>& analysis) {
  const auto& error = analysis.error;
  const auto rows = static_cast<Index>(error.row_error.size());
  return {{"rows compared", rows == analysis.n ? "all" : fmt::format("{} of {}", rows, analysis.n)},
          {"relative error ‖Y~ − Y‖ / ‖Y‖", short_number(error.relative_error)},
          {"largest |Y~ − Y|", short_number(error.max_abs_error)},
          {"mean total variation", short_number(error.mean_total_variation)},
          {"rows of total variation", fmt::format("{}", error.total_variation_rows)},
          {"largest |S~ − S|", short_number(error.max_score_error)},
          {"bound on |Y~ − Y|", analysis.bound ? short_number(*analysis.bound) : "none"},
          last_fact(analysis)};
}

Facts work_facts(const AnalysisResult& result) {
  const auto& analysis = *result.analysis;
  const auto& seconds = analysis.seconds;
  return {{"exact attention", seconds_text(seconds.exact)},
          {analysis.rank  ? "low rank"
           : analysis.fit ? "fit"
                          : "Recover",
           seconds_text(seconds.recover)},
          {"apply", seconds_text(seconds.apply)},
          {"device", result.device},
          {"instructions", convbasis::kernel_instruction_set()},
          {"path", analysis.apply.path},
          {"rescued rows", fmt::format("{}", analysis.apply.rescued_rows())}};
}

void append_starts(std::string& page, const AnalysisResult& result) {
  const auto& basis = result.analysis->recovery.basis;
  if (basis.count() == 0) return;
  page += "<section><h2>Segments</h2><table class=\"list\">\n<tr><th>segment</th><th>start</th><th>extent</th></tr>\n";
  for (Index r = 0; r < std::min(basis.count(), most_starts); ++r) {
    page += fmt::format("<tr><td class=\"number\">u{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n", r + 1,
                        basis.start(r), basis.extent(r));
  }
  page += "</table>\n";
  if (basis.count() > most_starts) page += fmt::format("<p class=\"dim\">and {} more</p>\n", basis.count() - most_starts);
  page += "</section>\n";
}

/// Positions of the largest errors; NaN is worse than any number, and ties go to the earlier row.
std::vector<std::size_t> worst_rows(const std::vector<double>& errors) {
  std::vector<std::size_t> rows(errors.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const auto badness = [&](std::size_t row) { return std::isnan(errors[row]) ? INFINITY : errors[row]; };
  const auto count = std::min(worst_count, rows.size());
  std::partial_sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count), rows.end(),
                    [&](std::size_t a, std::size_t b) { return badness(a) != badness(b) ? badness(a) > badness(b) : a < b; });
  rows.resize(count);
  return rows;
}

void append_worst_rows(std::string& page, const AnalysisResult& result) {
  const auto& error = result.analysis->error;
  const auto& errors = error.row_error;
  const auto& tokens = result.source->tokens();
  page += "<section><h2>Worst rows</h2><table class=\"list\">\n<tr><th>row</th><th>output error</th><th>token</th></tr>\n";
  for (const std::size_t place : worst_rows(errors)) {
    const auto row = static_cast<std::size_t>(error.row_error_index[place]);
    const std::string token = row < tokens.size() ? token_text(tokens[row], 24) : "";
    page += fmt::format("<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n", row,
                        short_number(errors[place]), html_escaped(token));
  }
  page += "</table></section>\n";
}

void append_picture(std::string& page, const ReportPicture& picture) {
  page += "<figure><picture>";
  if (!picture.dark_png.empty()) {
    page += "<source media=\"(prefers-color-scheme: dark)\" srcset=\"data:image/png;base64,";
    page += base64(picture.dark_png);
    page += "\">";
  }
  page += fmt::format("<img alt=\"{0}\" width=\"{1}\" src=\"data:image/png;base64,", html_escaped(picture.title), picture.width);
  page += base64(picture.png);
  page += fmt::format("\"></picture><figcaption>{}</figcaption></figure>\n", html_escaped(picture.title));
}

}  // namespace

std::string html_report(const AnalysisResult& result, const std::vector<ReportPicture>& pictures) {
  const Provenance provenance = provenance_of(result);
  const std::string title = html_escaped(head_line(provenance));
  // The policy holds even if an escape were forgotten: nothing is run, nothing is fetched.
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"generator\" content=\"convscope {}\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
      provenance.version, title, style, title);
  page += fmt::format("<p class=\"dim\">{}</p>\n", html_escaped(provenance_line(provenance)));
  page += "<div class=\"columns\">\n";
  append_facts(page, "Head", head_facts(result, provenance));
  append_facts(page, "Parameters", parameter_facts(provenance));
  append_facts(page, "Error", error_facts(*result.analysis));
  append_facts(page, "Work", work_facts(result));
  page += "</div>\n<h2>Pictures</h2>\n";
  for (const ReportPicture& picture : pictures) append_picture(page, picture);
  page += "<div class=\"columns\">\n";
  append_worst_rows(page, result);
  append_starts(page, result);
  page += fmt::format("</div>\n<h2>The same numbers again</h2>\n<pre>{}</pre>\n</body>\n</html>\n",
                      html_escaped(reproducing_command(provenance)));
  return page;
}

std::string html_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : single_line(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t offset) {
      return i + offset < bytes.size() ? static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i + offset])) : 0U;
    };
    const std::uint32_t group = byte(0) << 16U | byte(1) << 8U | byte(2);
    for (unsigned shift : {18U, 12U, 6U, 0U}) text += digits[group >> shift & 63U];
  }
  // What the last group lacks is marked, not encoded.
  const std::size_t missing = (3 - bytes.size() % 3) % 3;
  text.replace(text.size() - missing, missing, missing, '=');
  return text;
}

}  // namespace convscope
