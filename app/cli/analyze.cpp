#include "analysis/head_analysis.h"
#include "analysis/ladder.h"
#include "analysis/streamed_analysis.h"
#include "cli/analysis_report.h"
#include "cli/console.h"
#include "cli/device.h"
#include "cli/fit_report.h"
#include "cli/head_input.h"
#include "cli/input_options.h"
#include "cli/long_work.h"
#include "cli/rank_report.h"
#include "cli/streamed_report.h"
#include "cli/verbs.h"
#include "core/stopwatch.h"
#include "data/npy_writer.h"

#include <fmt/format.h>
#include <CLI/Validators.hpp>

#include <algorithm>
#include <memory>

namespace convscope {
namespace {

using convbasis::InvalidArgument;
using convbasis::Ladder;
using convbasis::LadderOptions;
using convbasis::NpyColumnWriter;
using convbasis::PlantedOptions;
using convbasis::RankKind;
using convbasis::RankOptions;
using convbasis::Real;
using convbasis::RecoverOptions;
using convbasis::RunContext;
using convbasis::StreamedAnalysis;
using convbasis::StreamedPlan;
using convbasis::StructuredOptions;

struct AnalyzeOptions {
  HeadInputOptions input;
  std::string method = "recover";
  std::optional<Index> k, T;           ///< unset: the default, but never more than n
  std::optional<Index> band, columns;  ///< of a fit, likewise
  std::optional<int> rounds;           ///< of a fit
  std::optional<Index> sample_rows;    ///< of a fit; unset: all rows unless there are too many
  std::optional<std::string> column_rule;
  std::optional<std::string> rank_kind;      ///< of low rank; unset: what the other options ask for
  std::optional<Index> degree;               ///< of features
  bool ladder = false;                       ///< beside Recover and low rank; a fit always has it
  std::vector<std::string> recover_options;  ///< names of those that were given and only Recover has
  double delta = RecoverOptions{}.delta;
  double eps = RecoverOptions{}.eps;
  std::string search = "binary";
  std::string precision = "f32";
  std::string device = "auto";
  std::filesystem::path output, exact_output;  ///< empty: not written
  int threads = 0;
  bool streamed = false;  ///< although it may not be needed
  bool json = false;
};

bool wants_features(const AnalyzeOptions& options) {
  return options.rank_kind ? *options.rank_kind == "features" : options.degree.has_value();
}

void check_rank_options(const AnalyzeOptions& options) {
  if (options.method != "rank") {
    const char* given = options.rank_kind ? "--rank-kind" : options.degree ? "--degree" : nullptr;
    if (given) throw InvalidArgument(fmt::format("{} belongs to --method rank; add that, or leave it out", given));
    return;
  }
  if (options.rank_kind == "svd" && options.degree) {
    throw InvalidArgument("--degree belongs to --rank-kind features; an SVD has --k");
  }
  if (wants_features(options) && options.k) {
    throw InvalidArgument("--k is the rank of --rank-kind svd; the number of features follows from --degree");
  }
}

/// Options that would be passed over in silence.
void check_belonging(const AnalyzeOptions& options) {
  if (options.method != "recover") {
    const char* given = options.streamed                  ? "--streamed"
                        : options.recover_options.empty() ? nullptr
                                                          : options.recover_options.front().c_str();
    if (given)
      throw InvalidArgument(fmt::format("{} belongs to --method recover; leave it out of --method {}", given, options.method));
  }
  check_rank_options(options);
  if (options.method == "fit" || options.ladder) return;
  const auto needs_fit = [](const char* name, bool given) {
    if (given) throw InvalidArgument(fmt::format("{} belongs to --method fit and to --ladder; add one of them", name));
  };
  needs_fit("--band", options.band.has_value());
  needs_fit("--columns", options.columns.has_value());
  needs_fit("--rounds", options.rounds.has_value());
  needs_fit("--sample-rows", options.sample_rows.has_value());
  needs_fit("--column-rule", options.column_rule.has_value());
}

/// What can be refused before any file is opened.
void check(const AnalyzeOptions& options) {
  if (options.method != "recover" && options.method != "fit" && options.method != "rank") {
    throw InvalidArgument(fmt::format("--method is {}; it must be recover, fit or rank", options.method));
  }
  check_belonging(options);
  if (options.sample_rows && *options.sample_rows < 1) {
    throw InvalidArgument(fmt::format("--sample-rows is {}; it must be at least 1", *options.sample_rows));
  }
  if (!options.output.empty()) require_writable_place("--output", options.output);
  if (!options.exact_output.empty()) require_writable_place("--exact-output", options.exact_output);
  if (!options.output.empty() && options.output.lexically_normal() == options.exact_output.lexically_normal()) {
    throw InvalidArgument("--output and --exact-output name the same file; name two");
  }
}

RecoverOptions recover_options(const AnalyzeOptions& options, Index n) {
  RecoverOptions result;
  result.k = options.k.value_or(std::min(result.k, n));
  result.T = options.T.value_or(std::min(result.T, n));
  result.delta = options.delta;
  result.eps = options.eps;
  result.search = options.search == "scan" ? convbasis::Search::scan : convbasis::Search::binary;
  return result;
}

convbasis::ColumnRule column_rule(const AnalyzeOptions& options) {
  return options.column_rule == "outside-band" ? convbasis::ColumnRule::outside_band : convbasis::ColumnRule::whole;
}

/// For a head of n tokens. Beside Recover, k is Recover's.
LadderOptions ladder_options(const AnalyzeOptions& options, Index n) {
  LadderOptions result;
  result.band = options.band.value_or(std::min(result.band, n));
  result.columns = options.columns.value_or(std::min(result.columns, n));
  result.k = options.k.value_or(result.k);
  result.rounds = options.rounds.value_or(result.rounds);
  result.column_rule = column_rule(options);
  result.sample_rows = options.sample_rows.value_or(0);
  return result;
}

StructuredOptions fit_options(const AnalyzeOptions& options, Index n) {
  const LadderOptions ladder = ladder_options(options, n);
  return {
      .band = ladder.band, .columns = ladder.columns, .k = ladder.k, .column_rule = ladder.column_rule, .rounds = ladder.rounds};
}

/// For a head of n tokens: an SVD where nothing else is said and n allows it, for there k is a rank.
RankOptions rank_options(const AnalyzeOptions& options, Index n) {
  RankOptions result;
  const bool unsaid = !options.rank_kind && !options.k;
  const bool features = wants_features(options) || (unsaid && n > convbasis::yardstick_limit);
  result.kind = features ? RankKind::features : RankKind::svd;
  result.k = options.k.value_or(std::min(result.k, n));
  result.degree = options.degree.value_or(result.degree);
  return result;
}

template <Real T>
void write_output(const std::filesystem::path& path, const convbasis::Matrix<T>& output) {
  if (!path.empty()) write_result([&] { convbasis::write_npy<T>(path, convbasis::view(output)); });
}

template <Real T>
void analyze_whole(const AnalyzeOptions& options) {
  LongWork work(options.threads);
  const Device device(options.device, options.precision);
  work.use(device.accelerator());
  HeadInput<T> input = load_head<T>(options.input, work.context());
  const Index n = input.tensors.query.rows();
  const bool low_rank = options.method == "rank";
  const auto analysis =
      low_rank ? convbasis::analyze_head_by_rank<T>(std::move(input.tensors), rank_options(options, n), work.context())
               : convbasis::analyze_head<T>(std::move(input.tensors), recover_options(options, n), work.context());
  std::optional<Ladder> ladder;
  if (options.ladder) {
    const auto head = analysis.head();
    ladder = convbasis::make_ladder<T>(head, *analysis.exact, ladder_options(options, head.size()), work.context());
  }
  work.finish();
  device.print_warning();
  write_output(options.output, analysis.output);
  write_output(options.exact_output, analysis.exact->output);
  if (options.json) {
    auto result = low_rank ? rank_json(input, analysis) : to_json(input, analysis);
    if (ladder) result["ladder"] = ladder_json(*ladder);
    result["device"] = device.name();
    print_json(result);
  } else {
    low_rank ? print_rank_table(input, analysis) : print_table(input, analysis);
    print_field("device", printable(device.name()));
    if (ladder) print_ladder(*ladder);
  }
}

template <Real T>
void analyze_by_fit(const AnalyzeOptions& options) {
  LongWork work(options.threads);
  const Device device(options.device, options.precision);
  work.use(device.accelerator());
  HeadInput<T> input = load_head<T>(options.input, work.context());
  const Index n = input.tensors.query.rows();
  std::optional<convbasis::SampleOptions> sample;
  if (options.sample_rows) sample = convbasis::SampleOptions{.rows = *options.sample_rows};
  const auto analysis =
      convbasis::analyze_head_by_fit<T>(std::move(input.tensors), fit_options(options, n), sample, work.context());
  const Ladder ladder = convbasis::make_ladder<T>(analysis.head(), *analysis.exact, ladder_options(options, n), work.context());
  work.finish();
  device.print_warning();
  write_output(options.output, analysis.output);
  write_output(options.exact_output, analysis.exact->output);
  if (options.json) {
    auto result = fit_json(input, analysis, ladder);
    result["device"] = device.name();
    print_json(result);
  } else {
    print_fit_table(input, analysis);
    print_field("device", printable(device.name()));
    print_ladder(ladder);
  }
}

/// The planted input that goes block by block: see needs_streaming().
template <Real T>
std::optional<PlantedOptions> streamed_input(const AnalyzeOptions& options) {
  if (!options.input.planted) return std::nullopt;
  const PlantedOptions input = convbasis::parse_planted(*options.input.planted);
  convbasis::require_valid(input);
  if (!options.streamed && !convbasis::needs_streaming(input, sizeof(T))) return std::nullopt;
  if (options.input.n && *options.input.n != input.n) {
    throw InvalidArgument("--n cuts tensors that are in memory; for an input of this size, set n in --planted");
  }
  if (options.ladder) {
    throw InvalidArgument("--ladder needs exact attention, which is not computed for an input of this size; leave it out");
  }
  if (!options.exact_output.empty()) {
    throw InvalidArgument("--exact-output needs exact attention, which is not computed for an input of this size; leave it out");
  }
  return input;
}

template <Real T>
void analyze_by_blocks(const AnalyzeOptions& options, const PlantedOptions& input) {
  LongWork work(options.threads);
  const Device device(options.device, options.precision);
  work.use(device.accelerator());
  const StreamedPlan plan =
      convbasis::plan_streamed<T>(input, {.recover = recover_options(options, input.n), .scale = options.input.scale});
  const std::string file = "planted:" + *options.input.planted;
  std::optional<NpyColumnWriter<T>> writer;
  convbasis::ColumnSink<T> sink;
  if (!options.output.empty()) {
    write_result([&] { writer.emplace(options.output, input.n, plan.value_width); });
    work.remove_when_ended(writer->temporary());
    sink = [&](convbasis::MatrixView<T> block, const RunContext& context) {
      write_result([&] { writer->append(block, context); });
    };
  }
  if (!options.json) print_plan(file, plan);
  StreamedAnalysis analysis = convbasis::analyze_streamed<T>(plan, sink, work.context());
  if (writer) {
    convbasis::Stopwatch watch;
    write_result([&] { writer->flush(); });
    const double waited = watch.lap();
    analysis.seconds.write += waited;
    analysis.seconds.total += waited;
  }
  work.finish();
  if (writer) write_result([&] { writer->commit(); });
  device.print_warning();
  if (options.json) {
    auto result = to_json(file, analysis, precision_name<T>);
    result["device"] = device.name();
    print_json(result);
  } else {
    print_result(analysis, precision_name<T>);
    print_field("device", printable(device.name()));
  }
}

template <Real T>
void analyze(const AnalyzeOptions& options) {
  if (options.method == "fit") {
    analyze_by_fit<T>(options);
  } else if (options.method == "rank") {
    analyze_whole<T>(options);
  } else if (const auto input = streamed_input<T>(options)) {
    analyze_by_blocks<T>(options, *input);
  } else {
    analyze_whole<T>(options);
  }
}

void add_recover_options(CLI::App& verb, AnalyzeOptions& options) {
  const RecoverOptions defaults;
  verb.add_option(
          "--method", options.method,
          "recover: a conv basis of the scores; fit: exact band and columns, and fitted lag vectors for the rest; rank: a "
          "matrix of low rank")
      ->type_name("NAME")
      ->capture_default_str();
  verb.add_option(
          "--k", options.k,
          fmt::format("Most segments to find, 1 to n (default: {}, or n if smaller); of a fit: lag vectors, 0: rank one; of an "
                      "SVD: its rank, at most {}",
                      defaults.k, convbasis::svd_rank_limit))
      ->type_name("K");
  verb.add_option("--T", options.T,
                  fmt::format("Entries of a column that a probe compares, 1 to n (default: {}, or n if smaller)", defaults.T))
      ->type_name("T");
  verb.add_option("--delta", options.delta, "Least distance of neighbouring lag vectors, 1-norm of T score entries")
      ->type_name("D")
      ->capture_default_str();
  verb.add_option("--eps", options.eps, "Noise of a score entry; the bound needs eps <= delta / (5 T)")
      ->type_name("E")
      ->capture_default_str();
  verb.add_option("--search", options.search, "How the next start is looked for: binary (fast) or scan (always the first)")
      ->check(CLI::IsMember({"binary", "scan"}))
      ->type_name("NAME")
      ->capture_default_str();
}

void add_fit_options(CLI::App& verb, AnalyzeOptions& options) {
  const StructuredOptions defaults;
  verb.add_option("--band", options.band,
                  fmt::format("Of a fit: lags below it are exact, 0 to n (default: {}, or n if smaller)", defaults.band))
      ->type_name("W");
  verb.add_option("--columns", options.columns,
                  fmt::format("Of a fit: so many columns are exact, 0 to n (default: {}, or n if smaller)", defaults.columns))
      ->type_name("C");
  verb.add_option("--column-rule", options.column_rule,
                  "Of a fit: which entries of a column count when columns are chosen: whole (default) or outside-band")
      ->check(CLI::IsMember({"whole", "outside-band"}))
      ->type_name("NAME");
  verb.add_option("--rounds", options.rounds, fmt::format("Of a fit: rounds at most, at least 1 (default: {})", defaults.rounds))
      ->type_name("R");
  verb.add_option("--sample-rows", options.sample_rows,
                  fmt::format("Of a fit: from so many rows, at least 1 (default: all up to {} tokens, 1024 beyond)",
                              convbasis::full_fit_limit))
      ->type_name("S");
  verb.add_flag("--ladder", options.ladder, "Beside Recover and low rank, too: what each ingredient of a fit explains and costs");
}

void add_rank_options(CLI::App& verb, AnalyzeOptions& options) {
  verb.add_option("--rank-kind", options.rank_kind,
                  fmt::format("Of low rank: svd, the best there is, of at most {0} tokens; features, polynomials of q and k "
                              "(default: svd, for which --k is the rank; features with --degree, or beyond {0} tokens)",
                              convbasis::yardstick_limit))
      ->check(CLI::IsMember({"svd", "features"}))
      ->type_name("NAME");
  verb.add_option("--degree", options.degree,
                  fmt::format("Of features: degree g of the polynomial, 0 to {}; C(d + g, g) features (default: {})",
                              convbasis::max_exp_degree, RankOptions{}.degree))
      ->type_name("G");
}

void add_work_options(CLI::App& verb, AnalyzeOptions& options) {
  add_precision_option(verb, options.precision);
  add_threads_option(verb, options.threads);
  add_device_option(verb, options.device);
  verb.add_option("--output", options.output, "Write the approximate output, n x d_v, in the working precision")
      ->type_name("Y.npy");
  verb.add_option("--exact-output", options.exact_output, "Write the exact output, n x d_v, in the working precision")
      ->type_name("Y.npy");
  verb.add_flag("--streamed", options.streamed,
                "Take a planted input by blocks of columns, as is always done when exact attention would need more than 5e12 "
                "multiply-adds or the tensors more than 4 GiB: exact attention is extrapolated, errors are those of 64 rows")
      ->needs(verb.get_option("--planted"));
  verb.add_flag("--json", options.json, "Print one JSON object");
}

}  // namespace

void add_analyze(CLI::App& program) {
  CLI::App* verb =
      program.add_subcommand("analyze", "Compare one head's exact attention with its conv basis, a structured fit or low rank");
  auto options = std::make_shared<AnalyzeOptions>();
  add_head_input_options(*verb, options->input, "Analyse");
  add_recover_options(*verb, *options);
  add_fit_options(*verb, *options);
  add_rank_options(*verb, *options);
  add_work_options(*verb, *options);
  verb->callback([options, verb] {
    for (const char* name : {"--T", "--delta", "--eps", "--search"}) {
      if (verb->get_option(name)->count() > 0) options->recover_options.emplace_back(name);
    }
    check(*options);
    options->precision == "f64" ? analyze<double>(*options) : analyze<float>(*options);
  });
}

}  // namespace convscope
