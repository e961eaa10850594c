#include "cli/atlas_run.h"
#include "cli/console.h"
#include "cli/input_options.h"
#include "cli/verbs.h"
#include "core/errors.h"

#include <fmt/format.h>
#include <CLI/Validators.hpp>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

namespace convscope {
namespace {

using convbasis::InvalidArgument;

constexpr Index most_listed = 100000;  ///< numbers in a list

/// As they are typed.
struct AtlasWords {
  AtlasRunOptions run;
  std::string layers, heads, shard;
  std::string search = "binary";
  bool no_ladder = false;
};

/// A whole number >= 0 that is all of `text`.
Index whole_number(std::string_view option, std::string_view text) {
  Index value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    throw InvalidArgument(fmt::format("{}: '{}' is no whole number from 0 on", option, text));
  }
  return value;
}

/// "0,3-5" as 0, 3, 4, 5.
std::vector<Index> numbers_of(std::string_view option, std::string_view text) {
  std::vector<Index> numbers;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const std::size_t dash = std::min(part.find('-'), part.size());
    const Index first = whole_number(option, part.substr(0, dash));
    const Index last = dash == part.size() ? first : whole_number(option, part.substr(dash + 1));
    if (last < first || last - first >= most_listed) throw InvalidArgument(fmt::format("{}: '{}' is no range", option, part));
    for (Index number = first; number <= last; ++number) numbers.push_back(number);
  }
  return numbers;
}

AtlasShard shard_of(std::string_view text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  if (slash == text.size()) throw InvalidArgument(fmt::format("--shard is {}; it must be I/N, such as 3/8", text));
  const AtlasShard shard{whole_number("--shard", text.substr(0, slash)), whole_number("--shard", text.substr(slash + 1))};
  if (shard.number < 1 || shard.number > shard.count) {
    throw InvalidArgument(fmt::format("--shard is {}; I in I/N must be from 1 to N", text));
  }
  return shard;
}

void check_outputs(const AtlasRunOptions& options) {
  std::vector<std::filesystem::path> named;
  const auto check = [&](const char* option, const std::filesystem::path& path) {
    if (path.empty() || path == "-") return;
    require_writable_place(option, path);
    if (std::ranges::find(named, path.lexically_normal()) != named.end()) {
      throw InvalidArgument(fmt::format("{} names a file that another option names too; name two", option));
    }
    named.push_back(path.lexically_normal());
  };
  if (options.csv == "-" || options.html == "-") throw InvalidArgument("only --json can be -, which is standard output");
  check("--csv", options.csv);
  check("--json", options.json);
  check("--html", options.html);
  if (options.shard && first_output(options).empty()) {
    throw InvalidArgument("--shard needs --csv, --json or --html: its part is written beside that file");
  }
  if (options.merge && options.files.empty()) {
    throw InvalidArgument("--merge needs the parts that the shards left, such as heads.csv.shard-*-of-8");
  }
}

AtlasRunOptions run_options(const AtlasWords& words) {
  AtlasRunOptions options = words.run;
  options.layers = numbers_of("--layer", words.layers);
  options.heads = numbers_of("--head", words.heads);
  if (!words.shard.empty()) options.shard = shard_of(words.shard);
  options.atlas.summary.recover.search = words.search == "scan" ? convbasis::Search::scan : convbasis::Search::binary;
  options.atlas.ladder = !words.no_ladder;
  std::vector<Index>& ks = options.atlas.ks;
  std::ranges::sort(ks);
  ks.erase(std::unique(ks.begin(), ks.end()), ks.end());
  if (options.merge && options.shard) throw InvalidArgument("--merge puts parts together, --shard makes one; give one of them");
  check_outputs(options);
  return options;
}

void add_input_options(CLI::App& verb, AtlasWords& words) {
  AtlasRunOptions& run = words.run;
  verb.add_option("FILE", run.files, "Activations, read together; with --merge the parts that shards left; none: the example")
      ->type_name("");
  verb.add_option("--n", run.n, "First tokens to look at; all when not given")->check(CLI::PositiveNumber)->type_name("N");
  verb.add_option("--layer,--layers", words.layers, "Layers, such as 0,4-7; all when not given")->type_name("LIST");
  verb.add_option("--head", words.heads, "Heads of each layer, such as 0,3; all when not given")->type_name("LIST");
  add_hint_options(verb, run.hints);
}

void add_method_options(CLI::App& verb, AtlasWords& words) {
  convbasis::AtlasOptions& atlas = words.run.atlas;
  verb.add_option("--k", atlas.ks, "Numbers of lag vectors (recover, fit) and ranks; the largest is the ladder's")
      ->delimiter(',')
      ->type_name("LIST")
      ->capture_default_str();
  verb.add_option("--band", atlas.band, "Lags that the fit keeps exact")->type_name("W")->capture_default_str();
  verb.add_option("--columns", atlas.columns, "Columns that the fit keeps exact")->type_name("C")->capture_default_str();
  verb.add_option("--target", atlas.summary.target_error, "Relative output error that k and the first rung are looked for")
      ->type_name("E")
      ->capture_default_str();
  convbasis::RecoverOptions& recover = atlas.summary.recover;
  verb.add_option("--T", recover.T, "Entries of a column that a probe reads; cut to n")->type_name("T")->capture_default_str();
  verb.add_option("--delta", recover.delta, "Separation of neighbouring lag vectors")->type_name("D")->capture_default_str();
  verb.add_option("--eps", recover.eps, "Noise of a score")->type_name("E")->capture_default_str();
  verb.add_option("--search", words.search, "How a start is looked for: binary or scan")
      ->check(CLI::IsMember({"binary", "scan"}))
      ->type_name("NAME")
      ->capture_default_str();
  verb.add_flag("--no-ladder", words.no_ladder, "Leave out fit, rank and the ladder, which are most of the work");
}

void add_work_options(CLI::App& verb, AtlasWords& words) {
  AtlasRunOptions& run = words.run;
  verb.add_option("--csv", run.csv, "Write a line for each head")->type_name("OUT");
  verb.add_option("--json", run.json, "Write one JSON object; - is standard output")->type_name("OUT");
  verb.add_option("--html", run.html, "Write a page that opens offline: grid, table, ladders")->type_name("OUT");
  verb.add_option("--shard", words.shard, "Only every N-th head, from the I-th on; leaves a part beside the output")
      ->type_name("I/N");
  verb.add_flag("--merge", run.merge, "Write the outputs from the parts named as FILE");
  verb.add_flag("--restart", run.restart, "Forget what a journal beside the output holds");
  add_precision_option(verb, run.precision);
  verb.add_option("--threads", run.threads, "Heads at once; 0: one for each processor of this process")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N")
      ->capture_default_str();
}

}  // namespace

void add_atlas(CLI::App& program) {
  CLI::App* verb = program.add_subcommand("atlas", "Look at every head of a model: figures, errors, the ladder of ingredients");
  auto words = std::make_shared<AtlasWords>();
  add_input_options(*verb, *words);
  add_method_options(*verb, *words);
  add_work_options(*verb, *words);
  verb->footer(
      "Finished heads are kept in a journal beside the first output, so that the same command goes on after it was stopped. "
      "Under\n"
      "mpirun the heads are spread over its processes.");
  verb->callback([words] { run_atlas(run_options(*words)); });
}

}  // namespace convscope
