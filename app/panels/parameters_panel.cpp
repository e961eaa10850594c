#include "panels/parameters_panel.h"

#include "analysis/ladder.h"
#include "panels/device_row.h"
#include "view/error_target.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace convscope {

using convbasis::RankKind;

namespace {

struct RowText {
  const char* id;
  const char* symbol;
  const char* name;
  bool whole;  ///< a count
  const char* help;
};

constexpr std::array<RowText, ParametersPanel::row_count> texts{{
    {"##k", "k", "lag vectors", true,
     "Recover: most segments that it may find, 1 to n; each has one lag vector u. Fit: segments of equal mass, one lag vector g "
     "each; 0 is rank one. More of them cost more time."},
    {"##eps", "ε", "tolerance", false,
     "How far a score may be from an exact conv basis. A column starts a new segment when its distance is at least δ − 2 T ε."},
    {"##delta", "δ", "separation", false,
     "How far apart the lag vectors of two segments are, in the 1-norm over T entries. The paper's guarantee needs ε ≤ δ / (5 "
     "T)."},
    {"##T", "T", "probe", true, "Entries of a column that one probe reads, from the diagonal down: T dot products of width d."},
    {"##w", "w", "band", true, "Lags i − j below w are kept exactly: 2 w multiply-adds for each number of V."},
    {"##c", "c", "columns", true,
     "So many columns are kept exactly: those that dropping would hurt most. 2 c multiply-adds for each number of V."},
    {"##r", "k", "rank", true, "Singular values that are kept, 1 to n: no matrix of that rank is nearer to P."},
    {"##g", "g", "degree", true,
     "Polynomial of this degree in place of exp: all monomials of up to g of the d factors, C(d + g, g) features."},
    {"##n", "n", "tokens", true, "Tokens from the start of the text. Exact attention costs n² (d + d_v) / 2 multiply-adds."},
}};

/// A dragged slider stops at numbers that can be read and typed again.
double three_digits(double value) {
  if (value == 0.0) return value;
  const double scale = std::pow(10.0, 2.0 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

/// What the features will be, before they are.
void draw_feature_count(Index degree, Index width, Index value_width) {
  if (width < 1) return;  // given by its scores, which is said when it is tried
  const std::string problem = convbasis::feature_problem(degree, width, value_width);
  if (!problem.empty()) return ui::wrapped(problem, ui::error_colour());
  ui::wrapped(fmt::format("{} features (d = {}, degree {})", convbasis::feature_count(width, degree), width, degree),
              ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
}

/// The most room that a row of choices takes, in pixels.
float widest_choices() {
  constexpr std::array rows{std::array{"recover", "fit", "rank"}, std::array{"auto", "CPU", "GPU 0"}};  // others have two
  const ImGuiStyle& style = ImGui::GetStyle();
  float widest = 0.0F;
  for (const auto& labels : rows) {
    float width = -style.ItemSpacing.x;
    for (const char* label : labels) width += ImGui::CalcTextSize(label).x + 2.0F * style.FramePadding.x + style.ItemSpacing.x;
    widest = std::max(widest, width);
  }
  return widest;
}

double largest(Index n, Index limit) { return static_cast<double>(std::min(n, limit)); }

}  // namespace

std::optional<DeviceWish> ParametersPanel::draw(Session& session, ErrorCurve& curve, const DeviceChoice& devices) {
  ui::help_mark(
      "Recover looks for up to k lag vectors with S_ij ≈ u_r[i − j] for columns j from start r on. A column starts a new segment "
      "when the 1-norm of its first T entries, less those of u_r, is at least δ − 2 T ε.\n"
      "Fit keeps a band of w lags and c columns exactly; the rest becomes a_i b_j g_r[i − j], nearest in Kullback-Leibler "
      "divergence.\n"
      "Rank is a matrix of low rank: the truncated SVD of P, the best there is, or polynomial features with φ(q)·φ(k) ≈ "
      "exp(q·k).\n"
      "Drag a slider, or type a number; a double click on the slider leads there. \"error below\" finds the smallest k for a "
      "relative "
      "output error ||Y~ − Y|| / ||Y||.");
  ui::title("Parameters");
  if (!session.source()) {
    ui::empty_state("The parameters of the conv basis appear here with an open head.");
    return std::nullopt;
  }
  AnalysisRequest request = session.wanted();
  const AnalysisRequest before = request;
  const Index tokens = session.source()->layer(request.layer).size;

  columns_ = find_columns();
  draw_method(request);
  if (request.method == Method::recover) draw_recover_rows(request);
  if (request.method == Method::fit) draw_fit_rows(request);
  if (request.method == Method::rank) {
    const auto& layer = session.source()->layer(request.layer);
    draw_rank_rows(request, layer.width, layer.value_width);
  }
  draw_whole(n, request.n, {1.0, static_cast<double>(tokens), 0.0});
  if (request.method == Method::recover) draw_search(request);
  const std::optional<DeviceWish> device = draw_device(devices);
  if (request.has_error_curve()) {
    ImGui::Separator();
    draw_target(request, curve);
  }
  if (request.method == Method::recover) draw_threshold(request);

  request = clamped(request, tokens);
  if (request.k != before.k && request.k != followed_k_) follow_ = false;  // set by hand
  if (request != before) session.want(request);
  return device;
}

ParametersPanel::Columns ParametersPanel::find_columns() {
  const float em = ImGui::GetFontSize();
  const float gap = ImGui::GetStyle().ItemSpacing.x;
  Columns columns;
  columns.name = ImGui::GetCursorPosX() + 1.15F * em;
  columns.number_width = 4.0F * em;
  float names = 0.0F;
  for (const RowText& row : texts) names = std::max(names, ImGui::CalcTextSize(row.name).x);
  const float end = ImGui::GetContentRegionMax().x - columns.number_width - gap;
  columns.named = end - (columns.name + names + gap) >= 4.0F * em;
  columns.slider = columns.named ? columns.name + names + gap : columns.name;
  columns.slider_width = end - columns.slider;
  columns.choices = std::min(columns.slider, ImGui::GetContentRegionMax().x - widest_choices());
  return columns;
}

void ParametersPanel::draw_recover_rows(AnalysisRequest& request) {
  draw_whole(k, request.k, {1.0, largest(request.n, 256), 1.0});
  draw_row(eps, request.eps, {0.0, 1.0, 1e-5});
  draw_row(delta, request.delta, {0.0, 100.0, 1e-2});
  draw_whole(T, request.T, {1.0, largest(request.n, 64), 0.0});
}

void ParametersPanel::draw_fit_rows(AnalysisRequest& request) {
  draw_whole(k, request.k, {0.0, largest(request.n, 256), 1.0});
  draw_whole(band, request.band, {0.0, largest(request.n, 1024), 1.0});
  draw_whole(columns, request.columns, {0.0, largest(request.n, 256), 1.0});
}

void ParametersPanel::draw_rank_rows(AnalysisRequest& request, Index width, Index value_width) {
  draw_name("kind");
  if (ui::choice("SVD", request.is_svd())) request.rank_kind = RankKind::svd;
  ui::tooltip(fmt::format("Truncated SVD of P, causal part: a yardstick that reads all of P, for at most {} tokens.",
                          convbasis::yardstick_limit));
  ImGui::SameLine();
  if (ui::choice("features", request.is_features())) request.rank_kind = RankKind::features;
  ui::tooltip("Polynomial features of queries and keys, which take time in proportion to n.");
  if (request.is_svd()) {
    draw_whole(rank, request.k, {1.0, largest(request.n, 256), 1.0});
  } else {
    draw_whole(degree, request.degree, {0.0, 4.0, 0.0});
    draw_feature_count(request.degree, width, value_width);
  }
}

void ParametersPanel::draw_whole(Row row, Index& target, const SliderScale& scale) {
  auto value = static_cast<double>(target);
  if (draw_row(row, value, scale)) target = static_cast<Index>(std::llround(std::clamp(value, 0.0, 1e15)));
}

bool ParametersPanel::draw_row(Row row, double& value, const SliderScale& scale) {
  const RowText& text = texts[row];
  ImGui::BeginGroup();
  ImGui::AlignTextToFramePadding();
  ui::bold(text.symbol);
  if (columns_.named) {
    ImGui::SameLine(columns_.name);
    ui::dim(text.name);
  }
  ImGui::EndGroup();
  ui::tooltip(text.help);
  ImGui::SameLine(columns_.slider);
  bool wants_entry = false;
  bool changed = ui::slider(text.id, value, scale, columns_.slider_width, wants_entry);
  if (changed) value = text.whole ? std::round(value) : three_digits(value);
  const ImVec2 low = ImGui::GetItemRectMin();
  const ImVec2 high = ImGui::GetItemRectMax();
  rectangles_[row] = ImVec4(low.x, low.y, high.x, high.y);
  ui::tooltip(text.help);
  if (wants_entry) typing_ = row;
  ImGui::SameLine();
  ImGui::SetNextItemWidth(columns_.number_width);
  draw_number(row, value, changed);
  return changed;
}

void ParametersPanel::draw_number(Row row, double& value, bool& changed) {
  const RowText& text = texts[row];
  if (typing_ == row) {
    ImGui::SetKeyboardFocusHere();
    typing_ = -1;
  }
  ImGui::PushFont(ui::mono_font());
  ImGui::PushStyleVarX(ImGuiStyleVar_FramePadding, std::round(ImGui::GetStyle().FramePadding.x / 2.0F));
  ImGui::PushID(text.id);
  double typed = value;
  // On leaving the field, not at every key: the 1 of 128 is no wish.
  ImGui::InputDouble("##number", &typed, 0.0, 0.0, text.whole ? "%.0f" : "%.6g");
  if (ImGui::IsItemDeactivatedAfterEdit() && typed != value) {
    value = typed;
    changed = true;
  }
  ImGui::PopID();
  ImGui::PopStyleVar();
  ImGui::PopFont();
  ui::tooltip("Type an exact number; a double click on the slider comes here too.");
}

void ParametersPanel::draw_name(const char* word) const {
  ui::dim(word);  // as high as the choices, which have no frame above and below
  const float least = ImGui::GetItemRectMax().x - ImGui::GetWindowPos().x + ImGui::GetStyle().ItemSpacing.x;
  ImGui::SameLine(std::max(columns_.choices, least));
}

void ParametersPanel::draw_method(AnalysisRequest& request) const {
  draw_name("method");
  if (ui::choice("recover", request.method == Method::recover)) request.method = Method::recover;
  ui::tooltip("A conv basis of the scores, found by probing O(k log n) columns. Never looks at all of the matrix.");
  ImGui::SameLine();
  if (ui::choice("fit", request.method == Method::fit)) request.method = Method::fit;
  ui::tooltip(
      "Exact band and columns, and lag vectors with row and column factors for the rest. Reads all of exact attention: it shows "
      "what a head is made of, not how to save time.");
  ImGui::SameLine();
  if (ui::choice("rank", request.method == Method::rank)) {
    request.method = Method::rank;
    if (request.n > convbasis::yardstick_limit) request.rank_kind = RankKind::features;
  }
  ui::tooltip("A matrix of low rank in place of P, for comparison: the best there is, or one that could be computed.");
}

void ParametersPanel::draw_search(AnalysisRequest& request) const {
  draw_name("search");
  using convbasis::Search;
  if (ui::choice("binary", request.search == Search::binary)) request.search = Search::binary;
  ui::tooltip("O(log n) probes for each start. Finds the first differing column only where the predicate is monotone.");
  ImGui::SameLine();
  if (ui::choice("scan", request.search == Search::scan)) request.search = Search::scan;
  ui::tooltip("Looks at every column in turn: slower, and always the first differing one.");
}

std::optional<DeviceWish> ParametersPanel::draw_device(const DeviceChoice& devices) const {
  draw_name("device");
  return draw_device_row(devices);
}

void ParametersPanel::draw_target(AnalysisRequest& request, ErrorCurve& curve) {
  constexpr double least_percent = 1e-6;
  ImGui::AlignTextToFramePadding();
  ui::dim(columns_.named ? "error below" : "error <");
  ui::tooltip("The relative output error ||Y~ − Y|| / ||Y|| to get below, in percent.");
  ImGui::SameLine();
  double percent = 100.0 * curve.target();
  ImGui::PushFont(ui::mono_font());
  ImGui::SetNextItemWidth(columns_.number_width);
  ImGui::InputDouble("##target", &percent, 0.0, 0.0, "%.4g %%");
  const bool typed = ImGui::IsItemDeactivatedAfterEdit();
  ImGui::PopFont();
  if (typed && percent == percent) curve.set_target(std::clamp(percent, least_percent, 1e6) / 100.0);
  ImGui::SameLine();
  if (ImGui::Checkbox("follow", &follow_)) followed_k_ = request.k;
  ui::tooltip("Sets k to the smallest one with an error below this, also for the next head, until you set k by hand.");
  follow_target(request, curve);

  const ErrorCurveView known = curve.is_of(request) ? curve.view() : ErrorCurveView{};
  const KError* smallest = known.complete ? smallest_k_below(known.points, curve.target()) : nullptr;
  if (smallest) {
    const std::string label = fmt::format("smallest k: {}##smallest", smallest->k);
    if (ImGui::SmallButton(label.c_str())) request.k = smallest->k;
    ui::tooltip(fmt::format("{}. A click sets k.", describe_target(known.points, known.complete, curve.target())));
  } else if (!known.failure.empty()) {
    ui::fitted(known.failure, ImGui::GetColorU32(ui::error_colour()));
  } else {
    ui::wrapped(describe_target(known.points, known.complete, curve.target()), ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
  }
}

void ParametersPanel::follow_target(AnalysisRequest& request, const ErrorCurve& curve) {
  if (!follow_) return;
  if (request.k != followed_k_) {
    follow_ = false;  // set by hand, here or in another panel
    return;
  }
  if (!curve.is_of(request)) return;
  const ErrorCurveView known = curve.view();
  const KError* smallest = known.complete ? smallest_k_below(known.points, curve.target()) : nullptr;
  if (smallest) request.k = followed_k_ = smallest->k;
}

void ParametersPanel::draw_threshold(const AnalysisRequest& request) {
  const double threshold = request.options().threshold();
  const double largest_eps = request.delta / (5.0 * static_cast<double>(request.T));
  ui::dim("threshold  δ − 2 T ε");
  const std::string value = short_number(threshold);
  ImGui::PushFont(ui::mono_font());
  ImGui::SameLine(ImGui::GetContentRegionMax().x - ImGui::CalcTextSize(value.c_str()).x);
  ImGui::TextUnformatted(value.c_str());
  ImGui::PopFont();
  if (threshold <= 0.0) {
    ui::wrapped(
        "Threshold not above 0: every column counts as a change, so the starts are simply the first k columns. Raise δ, or lower "
        "T or ε.",
        ui::warning_colour());
  } else if (request.eps > largest_eps) {
    ui::wrapped(fmt::format("ε is above δ / (5 T) = {}: the paper's guarantee does not hold.", short_number(largest_eps)),
                ui::warning_colour());
  }
}

}  // namespace convscope
