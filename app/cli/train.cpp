#include "cli/console.h"
#include "cli/device.h"
#include "cli/head_input.h"
#include "cli/input_options.h"
#include "cli/long_work.h"
#include "cli/machine.h"
#include "cli/train_report.h"
#include "cli/verbs.h"
#include "data/npy_writer.h"

#include <fmt/format.h>
#include <CLI/Validators.hpp>

#include <algorithm>
#include <array>
#include <memory>

namespace convscope {
namespace {

using convbasis::Backward;
using convbasis::InvalidArgument;
using convbasis::OneLayerOptions;
using convbasis::OneLayerProblem;
using convbasis::Real;
using convbasis::RecoverOptions;
using convbasis::TrainingOptions;

struct TrainOptions {
  bool head_gradients = false;
  HeadInputOptions input;  ///< its n is the problem's, too
  std::optional<Index> k, T;
  double delta = RecoverOptions{}.delta;
  double eps = RecoverOptions{}.eps;
  OneLayerOptions problem;
  Index seed = 1;  ///< signed, so that a negative one is seen
  std::vector<std::string> backwards = {"exact", "estimate", "conv"};
  std::string optimizer = "gd";
  std::optional<double> rate;
  std::string parameters = "tied";
  int steps = 200;
  std::vector<int> recover_every = {1};
  std::string between = "starts";
  bool no_compare = false;
  std::vector<Index> time_per_step;  ///< empty: train
  std::string precision = "f64";
  std::string device = "auto";
  std::filesystem::path csv;  ///< empty: not written
  int threads = 0;
  bool json = false;
};

/// Only with --head-gradients, and only without it.
constexpr std::array head_only{"FILE", "--planted", "--layer", "--head",      "--scale",          "--q",     "--k-tensor",
                               "--v",  "--layout",  "--heads", "--attention", "--attention-kind", "--delta", "--eps"};
constexpr std::array training_only{"--d",     "--noise",         "--optimizer", "--rate",       "--parameters",
                                   "--steps", "--recover-every", "--between",   "--no-compare", "--time-per-step",
                                   "--csv"};

/// Options that would be passed over in silence, and what can be refused before any work.
void check(const CLI::App& verb, const TrainOptions& options) {
  const auto refuse = [&](const auto& names, const char* how) {
    for (const char* name : names) {
      if (verb.get_option(name)->count() > 0) throw InvalidArgument(fmt::format("{} {} --head-gradients", name, how));
    }
  };
  options.head_gradients ? refuse(training_only, "belongs to the one-layer problem; leave it out, or leave out")
                         : refuse(head_only, "belongs to the gradients of a head; leave it out, or add");
  if (!options.time_per_step.empty() && options.input.n) {
    throw InvalidArgument("--n and --time-per-step both say how many tokens; leave one of them out");
  }
  if (options.seed < 0) throw InvalidArgument(fmt::format("--seed is {}; it must not be negative", options.seed));
  if (options.rate && *options.rate == 0.0) throw InvalidArgument("--rate is 0; it must be above 0");
  if (!options.csv.empty()) require_writable_place("--csv", options.csv);
}

std::vector<Backward> wanted_backwards(const TrainOptions& options) {
  std::vector<Backward> wanted;
  for (const std::string& name : options.backwards) wanted.push_back(convbasis::backward_of(name));
  return convbasis::in_order(wanted);
}

OneLayerOptions problem_options(const TrainOptions& options) {
  OneLayerOptions problem = options.problem;
  problem.n = options.input.n.value_or(problem.n);
  problem.k = options.k.value_or(problem.k);
  problem.T = options.T.value_or(problem.T);
  problem.seed = static_cast<std::uint64_t>(options.seed);
  return problem;
}

TrainingOptions training_options(const TrainOptions& options) {
  return {.optimiser = convbasis::optimiser_of(options.optimizer),
          .rate = options.rate.value_or(0.0),
          .parameters = convbasis::parameters_of(options.parameters),
          .recover_every = options.recover_every.front(),
          .between = convbasis::between_of(options.between),
          .compare = !options.no_compare};
}

/// One for each backward pass and each number of steps between recoveries, which the exact one does not have.
std::vector<TrainingOptions> wanted_runs(const TrainOptions& options) {
  std::vector<TrainingOptions> runs;
  for (const Backward backward : wanted_backwards(options)) {
    for (const int every : options.recover_every) {
      TrainingOptions run = training_options(options);
      run.backward = backward;
      run.recover_every = backward == Backward::exact ? 1 : every;
      runs.push_back(run);
      if (backward == Backward::exact) break;
    }
  }
  return runs;
}

template <Real T>
void run_all(const TrainOptions& options, TrainingReport& report, const convbasis::RunContext& context) {
  const auto problem = std::make_shared<const OneLayerProblem<T>>(convbasis::plant_one_layer<T>(report.problem, context));
  report.starts = problem->starts;
  for (const TrainingOptions& run : wanted_runs(options)) {
    const TrainingOptions filled_in = convbasis::Trainer<T>(problem, run).options();
    report.runs.push_back({filled_in, convbasis::train<T>(problem, run, options.steps, context)});
    const TrainingRun& first = report.runs.front();
    if (first.options.backward == Backward::exact) {
      report.runs.back().loss_difference = convbasis::largest_loss_difference(report.runs.back().steps, first.steps);
    }
  }
}

template <Real T>
void train(const TrainOptions& options) {
  LongWork work(options.threads);
  const Device device(options.device, options.precision);
  work.use(device.accelerator());
  TrainingReport report{this_machine(options.threads), options.precision, problem_options(options), {}, {}, {}};
  if (options.time_per_step.empty()) {
    run_all<T>(options, report, work.context());
  } else {
    convbasis::StepTimesRequest request;
    request.n = options.time_per_step;
    request.problem = report.problem;
    request.training = training_options(options);
    request.backwards = wanted_backwards(options);
    report.times = convbasis::measure_step_times<T>(request, work.context());
  }
  work.finish();
  device.print_warning();
  if (!options.csv.empty()) {
    write_result([&] { convbasis::write_file_atomically(options.csv, csv_text(report)); });
  }
  if (options.json) {
    auto result = to_json(report);
    result["device"] = device.name();
    print_json(result);
  } else {
    print_field("device", printable(device.name()));
    print_report(report);
  }
}

template <Real T>
void take_gradients(const TrainOptions& options) {
  LongWork work(options.threads);
  const Device device(options.device, options.precision);
  work.use(device.accelerator());
  const HeadInput<T> input = load_head<T>(options.input, work.context());
  const auto head = input.tensors.view();
  RecoverOptions recover;
  recover.k = options.k.value_or(std::min(recover.k, head.size()));
  recover.T = options.T.value_or(std::min(recover.T, head.size()));
  recover.delta = options.delta;
  recover.eps = options.eps;
  const auto seed = static_cast<std::uint64_t>(options.seed);
  const auto gradient = convbasis::random_output_gradient<T>(head.size(), head.value_width(), seed);
  const auto comparison =
      convbasis::compare_gradients<T>(head, recover, convbasis::view(gradient), wanted_backwards(options), work.context());
  work.finish();
  device.print_warning();
  if (options.json) {
    auto result = gradients_json(input, recover, seed, comparison);
    result["device"] = device.name();
    print_json(result);
  } else {
    print_field("device", printable(device.name()));
    print_gradients(input, recover, comparison);
  }
}

void add_problem_options(CLI::App& verb, TrainOptions& options) {
  verb.get_option("--n")->description(
      fmt::format("Tokens (default: {}); of a head: from the start of the text (default: all)", options.problem.n));
  verb.add_option("--d", options.problem.d, "Width of A1, A2 and X, even")->type_name("D")->capture_default_str();
  verb.add_option(
          "--k", options.k,
          fmt::format("Planted segments, which Recover looks for (default: {}); of a head: most segments to find (default: "
                      "{}, or n if smaller)",
                      options.problem.k, RecoverOptions{}.k))
      ->type_name("K");
  verb.add_option("--T", options.T,
                  fmt::format("Entries of a column that a probe of Recover compares (default: {})", options.problem.T))
      ->type_name("T");
  verb.add_option("--noise", options.problem.noise, "No score is further than this from a conv basis at the start of training")
      ->type_name("E")
      ->capture_default_str();
  verb.add_option("--seed", options.seed, "Of the planted problem; of a head: of the random output gradient")
      ->type_name("S")
      ->capture_default_str();
  verb.add_option("--delta", options.delta, "Of a head: least distance of neighbouring lag vectors, 1-norm of T score entries")
      ->type_name("D")
      ->capture_default_str();
  verb.add_option("--eps", options.eps, "Of a head: noise of a score entry")->type_name("E")->capture_default_str();
}

void add_training_options(CLI::App& verb, TrainOptions& options) {
  verb.add_option("--backward", options.backwards,
                  "Backward passes: exact, estimate (the paper's, of the exact gradient) and conv (the gradient of the conv "
                  "forward); one run each")
      ->delimiter(',')
      ->type_name("LIST")
      ->capture_default_str();
  verb.add_option("--optimizer", options.optimizer, "gd or adam")->type_name("NAME")->capture_default_str();
  verb.add_option("--rate", options.rate, "Learning rate (default: 0.8 / (n d_v) for gd, 0.01 for adam)")->type_name("R");
  verb.add_option("--parameters", options.parameters,
                  "tied: X stays among the matrices that commute with the rotation, which keep the conv basis; free: any X")
      ->type_name("NAME")
      ->capture_default_str();
  verb.add_option("--steps", options.steps, "Steps of each run, at least 1")->type_name("N")->capture_default_str();
  verb.add_option("--recover-every", options.recover_every,
                  "Steps from one recovery of the basis to the next; one run for each of the list")
      ->delimiter(',')
      ->type_name("LIST")
      ->capture_default_str();
  verb.add_option("--between", options.between,
                  "What is kept between recoveries: starts (lag vectors are read anew) or basis (all of it)")
      ->type_name("NAME")
      ->capture_default_str();
  verb.add_flag("--no-compare", options.no_compare, "Leave out the exact loss and gradient at each step");
  verb.add_option("--time-per-step", options.time_per_step,
                  "Do not train: measure the time of a step at these n, such as 1024,4096 (--between and the first of "
                  "--recover-every count)")
      ->delimiter(',')
      ->type_name("LIST");
}

}  // namespace

void add_train(CLI::App& program) {
  CLI::App* verb = program.add_subcommand(
      "train", "Train a planted one-layer problem with exact and conv gradients, or compare the gradients of a head");
  auto options = std::make_shared<TrainOptions>();
  verb->add_flag(
      "--head-gradients", options->head_gradients,
      "Do not train: the gradients of one head (FILE, --planted or the built-in example) for a random output gradient");
  add_head_input_options(*verb, options->input, "Take");
  add_problem_options(*verb, *options);
  add_training_options(*verb, *options);
  add_precision_option(*verb, options->precision);
  add_threads_option(*verb, options->threads);
  add_device_option(*verb, options->device);
  verb->add_option("--csv", options->csv, "Write every step of every run, or the times per step (in seconds)")->type_name("OUT");
  verb->add_flag("--json", options->json, "Print one JSON object (times in seconds)");
  verb->callback([options, verb] {
    check(*verb, *options);
    const bool wide = options->precision == "f64";
    if (options->head_gradients) {
      wide ? take_gradients<double>(*options) : take_gradients<float>(*options);
    } else {
      wide ? train<double>(*options) : train<float>(*options);
    }
  });
}

}  // namespace convscope
