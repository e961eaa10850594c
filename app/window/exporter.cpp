#include "window/exporter.h"

#include "data/npy_writer.h"
#include "panels/map_picture.h"
#include "state/export_values.h"
#include "state/html_report.h"
#include "state/provenance.h"
#include "window/picture.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

namespace convscope {

using convbasis::MapKind;
using convbasis::RunContext;

namespace {

/// A picture that is to be painted.
struct Plan {
  std::string title;
  PictureContents contents;
  Theme theme = Theme::light;
};

/// What the steps of an export share.
struct Work {
  std::vector<std::shared_ptr<MapPicture>> maps;  ///< their tiles are computed first
  std::vector<Plan> plans;
  std::vector<Picture> pictures;  ///< those painted
  bool painting = false;
};

PictureText text_of(const AnalysisResult& result, const std::string& notes = "") {
  const Provenance provenance = provenance_of(result);
  return {.head = head_line(provenance), .notes = notes, .provenance = provenance_line(provenance)};
}

void plan_maps(Work& work, const AnalysisResult& result, const MapView& view, std::vector<MapKind> kinds, int scale,
               const std::vector<Theme>& themes) {
  const auto picture = std::make_shared<MapPicture>(MapPictureInput{
      .analysis = result.analysis, .kinds = std::move(kinds), .view = view, .scale = scale, .text = text_of(result)});
  work.maps.push_back(picture);
  for (const Theme theme : themes)
    work.plans.push_back({"Exact attention, its approximation, and the residual", MapPicture::contents(picture), theme});
}

/// A plot that a copy of a panel draws.
template <class Panel>
void plan_plot(Work& work, const AnalysisResult& result, const Panel& panel, const std::string& title,
               const std::vector<Theme>& themes) {
  for (const Theme theme : themes) {
    const auto copy = std::make_shared<Panel>(panel);
    const auto plot = [copy, result](float width) { copy->draw_plot(result, width); };
    work.plans.push_back({title, plot_picture(text_of(result, title), plot), theme});
  }
}

const char* basis_title(const AnalysisResult& result) {
  if (result.analysis->rank) return result.analysis->rank->features ? "Exp and its polynomial" : "Singular vectors";
  return "Lag vectors of the conv basis";
}

void plan_pictures(Work& work, const ExportWish& wish, const AnalysisResult& result, const Exporter::Inputs& inputs,
                   const std::vector<Theme>& themes) {
  const auto maps = [&](std::vector<MapKind> kinds) {
    plan_maps(work, result, inputs.view, std::move(kinds), wish.scale, themes);
  };
  const auto basis = [&] { plan_plot(work, result, inputs.basis, basis_title(result), themes); };
  const auto errors = [&] { plan_plot(work, result, inputs.errors, "Error by row", themes); };
  switch (wish.item) {
    case ExportItem::exact_map:
      return maps({MapKind::exact});
    case ExportItem::approximation_map:
      return maps({MapKind::approximation});
    case ExportItem::residual_map:
      return maps({MapKind::residual});
    case ExportItem::basis_plot:
      return basis();
    case ExportItem::error_plot:
      return errors();
    case ExportItem::three_maps:
      return maps({MapKind::exact, MapKind::approximation, MapKind::residual});
    default:  // the report has them all
      maps({MapKind::exact, MapKind::approximation, MapKind::residual});
      basis();
      errors();
  }
}

std::string png_of(const Picture& picture, const AnalysisResult& result, const RunContext& context) {
  context.check();
  const Provenance provenance = provenance_of(result);
  return encode_png(picture, {{"Software", "convscope " + provenance.version}, {"Description", provenance_line(provenance)}});
}

void write_report(const ExportWish& wish, const Work& work, const AnalysisResult& result, const RunContext& context) {
  std::vector<ReportPicture> pictures;
  // Light and dark take turns.
  for (std::size_t i = 0; i + 1 < work.pictures.size(); i += 2) {
    context.report("encoding", static_cast<double>(i) / static_cast<double>(work.pictures.size()));
    pictures.push_back({work.plans[i].title, png_of(work.pictures[i], result, context),
                        png_of(work.pictures[i + 1], result, context), work.pictures[i].width / wish.scale});
  }
  const std::string page = html_report(result, pictures);
  context.check();
  convbasis::write_file_atomically(wish.path, page);
}

void require_assessed(const convbasis::HeadAnalysis<float>& analysis) {
  if (analysis.assessed()) return;
  throw convbasis::InvalidArgument("Output and errors are still being computed; export them when the progress bar is gone.");
}

void require_factors(const convbasis::HeadAnalysis<float>& analysis) {
  if (!analysis.rank || analysis.rank->options.kind == convbasis::RankKind::svd) return;
  throw convbasis::InvalidArgument("Polynomial features are made as they are used: there are no factors to export.");
}

void write_values(const ExportWish& wish, const AnalysisResult& result, const MapView& view, const RunContext& context) {
  const auto& analysis = *result.analysis;
  const ValueFile file{wish.path, wish.format == ExportFormat::npy ? ValueFormat::npy : ValueFormat::csv,
                       provenance_line(provenance_of(result))};
  switch (wish.item) {
    case ExportItem::map_values: {
      const std::vector<MapKind> all{MapKind::exact, MapKind::approximation, MapKind::residual};
      const auto kinds = file.format == ValueFormat::npy ? std::vector{wish.kind} : all;
      const MapRegion region = region_of(view.window, wish.level, analysis.n);
      return write_map_values(file, analysis, kinds, view.quantity, view.pooling, region, context);
    }
    case ExportItem::lag_vectors:
      if (!analysis.rank) return write_lag_vectors(file, analysis.recovery.basis, context);
      require_factors(analysis);
      return write_factors(file, analysis.rank->factors, context);
    case ExportItem::starts:
      if (analysis.rank) throw convbasis::InvalidArgument("A matrix of low rank has no segments, so no starts either.");
      return write_starts(file, analysis.recovery.basis);
    case ExportItem::row_errors:
      require_assessed(analysis);
      return write_row_errors(file, analysis.error, context);
    case ExportItem::output:
      require_assessed(analysis);
      return write_matrix(file, analysis.output, {}, context);
    case ExportItem::exact_output:
      require_assessed(analysis);
      return write_matrix(file, analysis.exact->output, analysis.exact->rows, context);
    default:
      return;
  }
}

}  // namespace

Exporter::Exporter(std::function<void()> wake) : runner_(std::move(wake)) {}

std::vector<Action> Exporter::actions(Session& session, std::function<bool()> dark) {
  const auto opening = [this, dark = std::move(dark)](ExportItem item) {
    return [this, dark, item] { dialog_.open(item, dark()); };
  };
  const auto copy = [&session] {
    if (!session.result().analysis) return;
    ImGui::SetClipboardText(reproducing_command(provenance_of(session.result())).c_str());
    session.note("The command that computes the same numbers was copied.");
  };
  const auto ready = [&session] { return session.result().analysis != nullptr; };
  const auto item = [&](std::string id, std::string name, std::function<void()> run, std::string help, bool after_line = false) {
    return Action{.id = std::move(id),
                  .menu = "Export",
                  .name = std::move(name),
                  .run = std::move(run),
                  .enabled = ready,
                  .help = std::move(help),
                  .after_line = after_line};
  };
  std::vector<Action> actions{
      item("export.maps", "Picture of the maps…", opening(ExportItem::three_maps), "PNG with titles, colour bars and ticks"),
      item("export.basis", "Picture of the basis…", opening(ExportItem::basis_plot), "PNG of the lag vectors"),
      item("export.errors", "Picture of the errors…", opening(ExportItem::error_plot), "PNG of the error by row"),
      item("export.values", "Values of the maps…", opening(ExportItem::map_values), "CSV or npy of the cells in view", true),
      item("export.lags", "Lag vectors…", opening(ExportItem::lag_vectors), "CSV or npy"),
      item("export.row_errors", "Errors by row…", opening(ExportItem::row_errors), "CSV"),
      item("export.output", "Output…", opening(ExportItem::output), "The attention output as npy"),
      item("export.report", "Report of this head…", opening(ExportItem::report), "One HTML file with numbers and pictures", true),
      item("export.command", "Copy the command", copy, "The command that computes the same numbers")};
  actions.front().shortcuts = {ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_E};
  return actions;
}

void Exporter::draw(const Inputs& inputs) {
  const ExportAnswer answer = dialog_.draw(inputs.session.result(), inputs.view, runner_.progress());
  if (answer.stop) runner_.cancel();
  if (answer.wish) start(*answer.wish, inputs);
}

bool Exporter::start(const ExportWish& wish, const Inputs& inputs) {
  const AnalysisResult& result = inputs.session.result();
  if (!result.analysis || runner_.busy()) return false;
  ExportSteps steps{.path = wish.path, .prepare = {}, .paint = {}, .write = {}};
  if (!is_picture(wish.item) && wish.item != ExportItem::report) {
    steps.write = [wish, result, view = inputs.view](const RunContext& context) { write_values(wish, result, view, context); };
    return runner_.start(std::move(steps));
  }
  const auto work = std::make_shared<Work>();
  const bool report = wish.item == ExportItem::report;
  const Theme theme = wish.dark ? Theme::dark : Theme::light;
  plan_pictures(*work, wish, result, inputs, report ? std::vector{Theme::light, Theme::dark} : std::vector{theme});
  steps.prepare = [work](const RunContext& context) {
    for (const auto& picture : work->maps) picture->compute(context);
  };
  steps.paint = [this, work, scale = wish.scale] {
    if (!std::exchange(work->painting, true)) {
      Plan& plan = work->plans[work->pictures.size()];
      painter_.begin(std::move(plan.contents), plan.theme, scale);
    }
    if (!painter_.step()) return false;
    work->pictures.push_back(painter_.take());
    work->painting = false;
    return work->pictures.size() == work->plans.size();
  };
  steps.write = [wish, work, result, report](const RunContext& context) {
    if (report) return write_report(wish, *work, result, context);
    const std::string png = png_of(work->pictures.front(), result, context);
    context.check();
    convbasis::write_file_atomically(wish.path, png);
  };
  return runner_.start(std::move(steps));
}

void Exporter::poll(Session& session) {
  const auto outcome = runner_.poll();
  if (!outcome) return;
  painter_.abandon();
  if (outcome->cancelled) {
    session.note("The export was stopped; nothing was written.");
  } else if (outcome->failure) {
    session.fail(*outcome->failure);
  } else {
    session.note(fmt::format("Exported to {}", outcome->path.string()));
  }
}

}  // namespace convscope
